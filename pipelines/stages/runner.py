"""Runs a stage with its settings, and checks that nothing it is made of was edited meanwhile.

DVC notes params.yaml and the code as they stand when a stage ends. Edited meanwhile, they would be
noted beside what others made, and that would count as up to date.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hgmnet.config.base import Frozen, flat_settings
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.artifacts.lineage import hash_file
from pipelines.stages.fingerprint import fingerprint, stage_deps

_CODE = ("hgmnet/", "pipelines/")


@dataclass(frozen=True)
class StageInputs:
    """A stage's sections of params.yaml, and the sha256 of each file of its code, at one time."""

    root: Path
    stage: str
    data: str
    sections: dict[str, Frozen]
    code: dict[str, str]

    def check(self) -> None:
        """Refuse to go on where something was edited.

        Raises:
            ConfigError: it was; what, and what to do.
        """
        now = begin(self.root, self.stage, self.sections)
        edited = sorted(dict(self.code.items() ^ now.code.items()))
        if names := [k for k, part in self.sections.items() if now.sections[k] != part]:
            edited.append(f"params.yaml ({', '.join(names)})")
        if edited:
            kept = "; put back, no epoch is lost" if self.stage == "train" else ""
            raise ConfigError(
                f"{', '.join(edited)} edited while {self.stage} ran, so what it made is not taken; "
                f"run the same command again{kept}"
            )


def run_stage(name: str, root: Path) -> None:
    """Call a stage with the sections of params.yaml that its signature names.

    Raises:
        ConfigError: params.yaml is not what it must be, or something was edited meanwhile.
        HgmnetError: as the stage does.
    """
    stage = importlib.import_module(f"pipelines.stages.{name}")
    inputs = begin(root, name, sections_of(stage.run))
    if name == "train":
        from pipelines.registry.live_curves import live_curves

        mark = fingerprint(root, name, inputs.data, inputs.sections)
        live = live_curves(root, inputs.data, mark, flat_settings(inputs.sections))
        stage.run(root, **inputs.sections, live=live)
    else:
        stage.run(root, **inputs.sections)
    inputs.check()
    if hasattr(stage, "finish"):
        stage.finish(root, **inputs.sections)


def sections_of(run: Callable[..., None]) -> list[str]:
    """The sections of params.yaml that a stage takes, by the names of its parameters."""
    _, *others = inspect.signature(run).parameters.values()
    return [one.name for one in others if one.kind is not one.KEYWORD_ONLY]


def begin(root: Path, stage: str, sections: Iterable[str]) -> StageInputs:
    """What params.yaml and dvc.yaml name for a stage, as it is now.

    Raises:
        ConfigError: params.yaml is not what it must be.
    """
    params = load_params(root / "params.yaml")
    files = (root / dep for dep in stage_deps(root, stage) if dep.startswith(_CODE))
    code = {file.relative_to(root).as_posix(): hash_file(file) for file in files if file.is_file()}
    taken = {name: params.section(name) for name in sections}
    return StageInputs(root, stage, params.data.name, taken, code)
