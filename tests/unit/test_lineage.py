"""Where a model comes from, read off real git repositories."""

import subprocess
from pathlib import Path

import pytest

from pipelines.artifacts.lineage import UNKNOWN, read_lineage
from pipelines.artifacts.paths import Workspace

LOCK = """schema: '2.0'
stages:
  ingest:
    cmd: python -m pipelines ingest
    deps:
    - path: data/phantom/raw
      hash: md5
      md5: {raw}
  report:
    cmd: python -m pipelines report
  register:
    cmd: {register}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    git(tmp_path, "init", "-q")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return Workspace(tmp_path, "phantom")


def git(root: Path, *words: str) -> str:
    person = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", "-C", root, *person, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write_lock(workspace: Workspace, raw: str = "12ab.dir", register: str = "x") -> None:
    (workspace.root / "dvc.lock").write_text(LOCK.format(raw=raw, register=register))


def test_a_clean_tree(workspace: Workspace):
    lineage = read_lineage(workspace)
    assert lineage.git_commit == git(workspace.root, "rev-parse", "HEAD")
    assert not lineage.git_dirty


@pytest.mark.parametrize("file", ["params.yaml", "hgmnet.py"])
def test_a_changed_or_new_file_makes_it_dirty(workspace: Workspace, file: str):
    (workspace.root / file).write_text("a: 2\n")
    assert read_lineage(workspace).git_dirty


def test_what_stages_write_does_not_make_it_dirty(workspace: Workspace):
    write_lock(workspace)
    workspace.folder.mkdir(parents=True)
    workspace.split_csv.write_text("image\n")
    workspace.split_json.write_text("{}\n")
    (workspace.folder / "dvc.lock").write_text("schema: '2.0'\n")
    assert not read_lineage(workspace).git_dirty


def test_outside_a_repository_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    lineage = read_lineage(Workspace(tmp_path, "phantom"))
    assert lineage.git_commit == UNKNOWN
    assert lineage.git_dirty
    assert lineage.dvc_lock_sha256 == UNKNOWN
    assert lineage.data_hash == UNKNOWN


def test_the_locks_hash_follows_the_data_but_not_register(workspace: Workspace):
    write_lock(workspace)
    first = read_lineage(workspace)
    assert first.data_hash == "12ab.dir"
    write_lock(workspace, register="y")
    assert read_lineage(workspace).dvc_lock_sha256 == first.dvc_lock_sha256
    write_lock(workspace, raw="34cd.dir")
    assert read_lineage(workspace).dvc_lock_sha256 != first.dvc_lock_sha256
