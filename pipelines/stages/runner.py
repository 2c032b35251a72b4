"""Run a stage with its settings, and check that none of its inputs changed meanwhile.

DVC records settings, code and data at the end of a stage. After a change during the stage, outputs
of the old inputs would be recorded as up to date with the new.
"""

import hashlib
import importlib
import inspect
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from hgmnet.config.base import Frozen, flat_settings
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.artifacts.lineage import hash_file
from pipelines.stages.fingerprint import fingerprint, stage_deps

_CODE = ("hgmnet/", "pipelines/")


@dataclass(frozen=True)
class StageInputs:
    """A stage's sections of params.yaml, and the state of each of its deps, when read.

    `deps`: by path, the sha256 of a file of code, or the `stamp` of data.
    """

    root: Path
    stage: str
    data: str
    sections: dict[str, Frozen]
    deps: dict[str, str]

    def check(self) -> None:
        """Raise ConfigError, with their names, if files, folders or sections were changed since."""
        now = begin(self.root, self.stage, self.sections)
        edited = sorted(dict(self.deps.items() ^ now.deps.items()))
        if names := [k for k, part in self.sections.items() if now.sections[k] != part]:
            edited.append(f"params.yaml ({', '.join(names)})")
        if edited:
            kept = "; with the change undone, no epoch is lost" if self.stage == "train" else ""
            raise ConfigError(
                f"{', '.join(edited)} changed while {self.stage} ran, so its outputs are "
                f"discarded; run the same command again{kept}"
            )


def run_stage(name: str, root: Path) -> None:
    """Call a stage with the sections of params.yaml that its signature names.

    Raises:
        ConfigError: params.yaml is invalid, no model of its settings can pass the gate, or
            settings, code or data were changed meanwhile.
        HgmnetError: the stage failed.
    """
    stage = importlib.import_module(f"pipelines.stages.{name}")
    if name in {"validate", "train"}:
        from pipelines.gate.settings import refuse_impossible

        refuse_impossible(root)
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
    """Read a stage's settings, and the state of its code and data; raises as `load_params`."""
    params = load_params(root / "params.yaml")
    named = (dep.replace("${data.name}", params.data.name) for dep in stage_deps(root, stage))
    there = ((dep, root / dep) for dep in named if (root / dep).exists())
    deps = {k: hash_file(file) if k.startswith(_CODE) else stamp(file) for k, file in there}
    taken = {name: params.section(name) for name in sections}
    return StageInputs(root, stage, params.data.name, taken, deps)


def stamp(top: Path, *, changed: bool = False) -> str:
    """Hash name, size and time of modification of a file, or of all files of a folder.

    `changed`: also the time of the last change of content, name or rights, which programs can't
    set. It notices a file that was replaced by one of the same size and time of modification, but
    changes with every new hard link to it.
    """
    digest = hashlib.sha256()
    for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
        with suppress(FileNotFoundError):  # removed since it was listed
            stat = file.stat()
            times = (stat.st_mtime_ns, stat.st_ctime_ns if changed else 0)
            if S_ISREG(stat.st_mode):
                digest.update(os.fsencode(f"{file.relative_to(top)}|{stat.st_size}|{times}\n"))
    return digest.hexdigest()
