"""What may go from a checkout's disk, and what must not."""

import os
import time
from argparse import Namespace
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError
from pipelines.cli import maintenance
from pipelines.operations.cleanup import litter
from pipelines.operations.run_overrides import alone

DAY_S = 86_400


def put(path: Path, days: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - days * DAY_S
    for one in (path, path.parent):
        os.utime(one, (then, then))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with old and new things in it."""
    put(tmp_path / ".hgmnet/checkpoints/old/last.ckpt", 20, 3000)
    put(tmp_path / ".hgmnet/checkpoints/new/last.ckpt", 2)
    put(tmp_path / ".hgmnet/versions/m/1/weights", 20)
    put(tmp_path / ".hgmnet/studies/rows/a.csv", 20)
    put(tmp_path / ".hgmnet/openings.jsonl", 400)
    put(tmp_path / "models/hgmnet/model.json", 400)
    put(tmp_path / "models/hgmnet/weights.part", 400)
    for folder in (".hgmnet/versions/m", ".hgmnet/versions", ".hgmnet/studies"):
        os.utime(tmp_path / folder, (time.time() - 20 * DAY_S,) * 2)
    return tmp_path


def names(root: Path, **words: object) -> list[str]:
    return [one.path.relative_to(root).as_posix() for one in litter(root, **words)]


def test_old_and_made_again_the_largest_first(root: Path) -> None:
    found = names(root, older_than=14, studies=False)
    assert found[0] == ".hgmnet/checkpoints/old"
    assert sorted(found[1:]) == [".hgmnet/versions", "models/hgmnet/weights.part"]


def test_studies_only_when_asked_for_and_the_new_with_no_age(root: Path) -> None:
    assert ".hgmnet/studies" in names(root, older_than=14, studies=True)
    assert ".hgmnet/checkpoints/new" in names(root, older_than=0, studies=False)


def test_it_removes_only_when_told(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    maintenance.run_clean(root, Namespace(yes=False, older_than=14, studies=False))
    assert "nothing was removed" in capsys.readouterr().out
    assert (root / ".hgmnet/checkpoints/old").exists()
    maintenance.run_clean(root, Namespace(yes=True, older_than=14, studies=False))
    assert not (root / ".hgmnet/checkpoints/old").exists()
    kept = (".hgmnet/openings.jsonl", ".hgmnet/studies/rows/a.csv", "models/hgmnet/model.json")
    assert all((root / path).exists() for path in kept)


def test_not_while_a_run_is_under_way(root: Path) -> None:
    with alone(root, "a training flow"), pytest.raises(ConfigError, match="a training flow"):
        maintenance.run_clean(root, Namespace(yes=True, older_than=0, studies=False))
