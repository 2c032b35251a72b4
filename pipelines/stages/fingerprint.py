"""Hash of a stage's inputs: its sections of params.yaml and its deps."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config.base import Frozen
from pipelines.artifacts.lineage import hash_file


def fingerprint(root: Path, stage: str, data_name: str, sections: dict[str, Frozen]) -> str:
    """Return the sha256 (hex) of the sections and the content of all deps of a stage."""
    digest = hashlib.sha256()
    for name in sorted(sections):
        digest.update(f"{name}={sections[name].model_dump_json()}\n".encode())
    for dep in stage_deps(root, stage):
        path = root / dep.replace("${data.name}", data_name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(root).as_posix()}=".encode())
                digest.update(bytes.fromhex(hash_file(file)))
    return digest.hexdigest()


def stage_deps(root: Path, stage: str) -> list[str]:
    """Return a stage's deps in dvc.yaml; empty if there is no such stage."""
    described = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))
    return list(((described or {}).get("stages", {}).get(stage) or {}).get("deps", []))
