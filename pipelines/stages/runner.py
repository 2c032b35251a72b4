"""Run a stage with its settings, and check that settings and code were not edited meanwhile.

DVC records params.yaml and the code at the end of a stage. After an edit during the stage, outputs
of the old code would be recorded as up to date with the new.
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
    """A stage's sections of params.yaml, and the sha256 of each file of its code, when read."""

    root: Path
    stage: str
    data: str
    sections: dict[str, Frozen]
    code: dict[str, str]

    def check(self) -> None:
        """Check that nothing was edited since.

        Raises:
            ConfigError: a file or section was edited; the message names it.
        """
        now = begin(self.root, self.stage, self.sections)
        edited = sorted(dict(self.code.items() ^ now.code.items()))
        if names := [k for k, part in self.sections.items() if now.sections[k] != part]:
            edited.append(f"params.yaml ({', '.join(names)})")
        if edited:
            kept = "; with the edit undone, no epoch is lost" if self.stage == "train" else ""
            raise ConfigError(
                f"{', '.join(edited)} edited while {self.stage} ran, so its outputs are discarded; "
                f"run the same command again{kept}"
            )


def run_stage(name: str, root: Path) -> None:
    """Call a stage with the sections of params.yaml that its signature names.

    Raises:
        ConfigError: params.yaml is invalid, or settings or code were edited meanwhile.
        HgmnetError: the stage failed.
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
    """Return the sections of params.yaml that a stage takes, from its parameters' names."""
    _, *others = inspect.signature(run).parameters.values()
    return [one.name for one in others if one.kind is not one.KEYWORD_ONLY]


def begin(root: Path, stage: str, sections: Iterable[str]) -> StageInputs:
    """Read a stage's current settings, and hash its current code.

    Raises:
        ConfigError: params.yaml is invalid.
    """
    params = load_params(root / "params.yaml")
    files = (root / dep for dep in stage_deps(root, stage) if dep.startswith(_CODE))
    code = {file.relative_to(root).as_posix(): hash_file(file) for file in files if file.is_file()}
    taken = {name: params.section(name) for name in sections}
    return StageInputs(root, stage, params.data.name, taken, code)
