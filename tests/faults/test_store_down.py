"""A tracking store that can't be used: one line, with the next step of the command that ran."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.artifacts.paths import Workspace
from tests.one_version import make_one_version
from tests.run_here import Ended, must_run, run_here
from tests.shared import small_disk

LATER = "run `dvc repro register` when it is back"
AGAIN = "then run the same command again"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_one_version(tmp_path_factory.mktemp("down") / "here")


@pytest.fixture
def space(registered: Workspace, tmp_path: Path) -> Workspace:
    """A checkout of this test's own with version 1, a challenger."""
    root = shutil.copytree(registered.root, tmp_path / "copy")
    must_run(root, "versions")
    return Workspace(root, registered.data)


@pytest.fixture
def damaged(space: Workspace) -> Workspace:
    (space.root / "mlflow.db").write_bytes(b"no database" * 1000)
    return space


PROMOTE = ("promote", "--approve", "--reason", "made up")
READERS = (
    *(("history",), ("versions",), ("lineage", "1"), ("compare", "1", "1"), PROMOTE),
    *(("serve", "--port", "0"), ("demo", "--port", "0"), ("publish",)),
)


def line(ended: Ended) -> str:
    """What a command says that ends with a status of its own and one line."""
    assert ended.status in {1, 2}, ended.output
    (said,) = ended.err.splitlines()
    return said


def predict(space: Workspace) -> tuple[str, ...]:
    return "predict", str(space.raw), "--out", str(space.root / "out"), "--backend", "torch"


@pytest.mark.parametrize("words", [*READERS, None], ids=lambda words: (words or ("predict",))[0])
def test_a_command_is_to_be_run_again(damaged: Workspace, words: tuple[str, ...] | None) -> None:
    said = line(run_here(damaged.root, *(words or predict(damaged))))
    assert "file is not a database" in said
    assert said.endswith(AGAIN)


def test_a_registration_is_to_be_completed(damaged: Workspace) -> None:
    assert line(run_here(damaged.root, "register")).endswith(LATER)


def test_doctor_says_that_it_is_no_database(damaged: Workspace) -> None:
    assert "can't be used: " in run_here(damaged.root, "doctor").out


@pytest.fixture
def disk(space: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The checkout on a disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, 24):
        root = shutil.copytree(space.root, place / "here")
        must_run(root, "versions")
        yield Workspace(root, space.data)


def test_a_full_disk_refuses_a_promotion_in_a_line_and_room_lets_it_pass(disk: Workspace) -> None:
    filler = disk.root.parent / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**25))
    assert "full" in line(run_here(disk.root, *PROMOTE))
    filler.unlink()
    must_run(disk.root, *PROMOTE)
    assert "1 decision, every link holds" in must_run(disk.root, "history").out


def test_a_disk_that_can_only_be_read_is_named(disk: Workspace) -> None:
    place = str(disk.root.parent)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    for words in (*READERS, predict(disk)):
        said = line(run_here(disk.root, *words))
        assert "Read-only file system" in said, words
