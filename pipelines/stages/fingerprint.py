"""What a stage's outputs depend on, in one hash: its sections of params.yaml and its deps."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config.base import Frozen


def fingerprint(root: Path, stage: str, data_name: str, sections: dict[str, Frozen]) -> str:
    """The sha256 over the sections and the content of every dep that dvc.yaml names for a stage."""
    digest = hashlib.sha256()
    for name in sorted(sections):
        digest.update(f"{name}={sections[name].model_dump_json()}\n".encode())
    described = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))
    for dep in described["stages"][stage]["deps"]:
        path = root / dep.replace("${data.name}", data_name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(root).as_posix()}=".encode())
                digest.update(_sha256(file))
    return digest.hexdigest()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
