"""What a stage's outputs depend on, in one hash: its sections of params.yaml and its deps."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config.base import Frozen
from pipelines.artifacts.lineage import hash_file


def fingerprint(root: Path, stage: str, data_name: str, sections: dict[str, Frozen]) -> str:
    """The sha256 over the sections and the content of every dep that dvc.yaml names for a stage."""
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
    """The deps that dvc.yaml names for a stage; none where it has no such stage."""
    described = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))
    return list(((described or {}).get("stages", {}).get(stage) or {}).get("deps", []))
