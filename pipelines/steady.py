"""Whether a stage is still made of what it was made of when it began.

DVC notes params.yaml and the code as they stand when a stage ends. Edited meanwhile, they would be
noted beside what others made, and that would count as up to date.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config import Frozen, load_params
from hgmnet.errors import ConfigError
from pipelines.lineage import hash_file

_CODE = ("hgmnet/", "pipelines/")


@dataclass(frozen=True)
class Beginning:
    """A stage's sections of params.yaml, and the sha256 of each file of its code, at one time."""

    root: Path
    stage: str
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


def begin(root: Path, stage: str, sections: Iterable[str]) -> Beginning:
    """What params.yaml and dvc.yaml name for a stage, as it is now.

    Raises:
        ConfigError: params.yaml is not what it must be.
    """
    params = load_params(root / "params.yaml")
    described = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))
    deps = ((described or {}).get("stages", {}).get(stage) or {}).get("deps", [])
    files = (root / dep for dep in deps if dep.startswith(_CODE))
    code = {file.relative_to(root).as_posix(): hash_file(file) for file in files if file.is_file()}
    return Beginning(root, stage, {name: params.section(name) for name in sections}, code)
