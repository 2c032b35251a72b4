"""Origin of a model: commit, state of the working tree, and DVC's record of the stages."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hgmnet.config.base import Frozen
from pipelines.artifacts.paths import Workspace

UNKNOWN = "unknown"


class Lineage(Frozen):
    """Origin of a version; `unknown` where git or DVC has no record.

    `git_dirty`: a file that stages don't write differs from the commit. `dvc_lock_sha256`: of
    dvc.lock's entries from ingest to report. `data_hash`: DVC's hash of raw/.
    """

    git_commit: str
    git_dirty: bool
    dvc_lock_sha256: str
    data_hash: str


class TrainRun(Frozen):
    """How the weights were trained; kept with a cached model.

    `seconds`: run time of the last process, without killed ones before. `params`: the stage's
    settings with dotted keys. `packages`: installed versions by name.
    """

    git_commit: str
    git_dirty: bool
    device: str
    processes: int
    threads: int
    seconds: float
    python: str
    packages: dict[str, str]
    params: dict[str, str]


def read_lineage(workspace: Workspace) -> Lineage:
    """Read the checkout's current lineage from git and dvc.lock."""
    stages = _locked_stages(workspace.root / "dvc.lock")
    text, deps = json.dumps(stages, sort_keys=True), stages.get("ingest", {}).get("deps", [])
    raw = f"data/{workspace.data}/raw"
    return Lineage(
        git_commit=_git(workspace.root, "rev-parse", "HEAD") or UNKNOWN,
        git_dirty=_dirty(workspace),
        dvc_lock_sha256=hashlib.sha256(text.encode()).hexdigest() if stages else UNKNOWN,
        data_hash=next((dep["md5"] for dep in deps if dep["path"] == raw), UNKNOWN),
    )


def origin(root: Path) -> str:
    """Address of git's remote `origin`; the root itself where there is none."""
    return _git(root, "remote", "get-url", "origin") or str(root)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dirty(workspace: Workspace) -> bool:
    """Whether git lists changes in files that stages don't write."""
    locks = (workspace.root / "dvc.lock", workspace.folder / "dvc.lock")
    written = (*locks, workspace.groups, workspace.split_csv, workspace.split_json)
    excluded = [f":(exclude){path.relative_to(workspace.root)}" for path in written]
    return _git(workspace.root, "status", "--porcelain", "--", ".", *excluded) != ""


def _git(root: Path, *words: str) -> str | None:
    """Return git's output; None where the command fails or git is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", root, *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _locked_stages(path: Path) -> dict[str, Any]:
    """Read dvc.lock's entries except register's, which is written after register has run."""
    if not path.exists():
        return {}
    stages = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"]
    return {name: entry for name, entry in stages.items() if name != "register"}
