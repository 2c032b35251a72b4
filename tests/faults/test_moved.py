"""A checkout that was moved or copied: its versions load, and only its own folder is written to."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.artifacts.paths import Workspace
from pipelines.operations.local_services import Services
from pipelines.registry import database
from pipelines.registry.tracking_store import create_run, open_tracking_store, tracking_uri
from tests.one_version import make_one_version
from tests.run_here import must_run, run_here


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A checkout with version 1, champion, which no test changes."""
    space = make_one_version(tmp_path_factory.mktemp("moved") / "original")
    must_run(space.root, "promote", "--approve", "--reason", "made up")
    return space


@pytest.fixture
def copy(original: Workspace, tmp_path: Path) -> Workspace:
    return copied(original, tmp_path / "copy")


def copied(space: Workspace, to: Path) -> Workspace:
    return Workspace(shutil.copytree(space.root, to, symlinks=True), space.data)


def predicts(space: Workspace) -> bool:
    """Whether the champion, downloaded again, predicts; an error is the test's."""
    shutil.rmtree(space.versions, ignore_errors=True)
    image = next(space.raw.rglob("*.png"))
    out = space.root / "predicted"
    must_run(space.root, "predict", str(image), "--out", str(out), "--backend", "torch")
    return any(space.versions.iterdir())


def logs_a_file(space: Workspace) -> list[Path]:
    """Log a file to a new run, as `register` does; the copies of it in this checkout."""
    file = space.root / "note.txt"
    file.write_text("made up")
    store = open_tracking_store(space.root, space.data, 5)
    store.client.log_artifact(create_run(store, "made up", {}), str(file))
    return list((space.root / "mlartifacts").rglob("note.txt"))


def addresses(file: Path) -> set[str]:
    """Every artifact address in a database."""
    with closing(sqlite3.connect(file)) as open_:
        found = [open_.execute(f"SELECT {c} FROM {t}") for t, c in database._ADDRESSES]  # noqa: S608
        return {one for rows in found for (one,) in rows if one}


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", ["50% of it", "who?", "who?me/a#1&b=2", "é ü", "%41%3F", "a:b@c"])
def test_a_folder_of_any_name_has_its_database_and_files_in_it(
    original: Workspace, tmp_path: Path, name: str
) -> None:
    space = copied(original, tmp_path / name)
    outside = files(tmp_path) - files(space.root)
    assert predicts(space)
    assert len(logs_a_file(space)) == 1
    assert files(tmp_path) - files(space.root) == outside


def test_the_database_of_such_a_folder_is_opened_by_its_printed_address(tmp_path: Path) -> None:
    root = tmp_path / "who?"
    root.mkdir()
    uri = tracking_uri(root)
    open_tracking_store(root, "phantom", 5)
    assert database.file_of(uri) == root / "mlflow.db"
    assert (root / "mlflow.db").is_file()
    assert database.absolute(root, uri) == uri


def test_the_correction_is_reported_once_and_named_by_doctor(
    original: Workspace, copy: Workspace
) -> None:
    words = f"moved or copied from {original.root}"
    for _ in range(2):  # it corrects nothing itself
        doctor = run_here(copy.root, "doctor")
        assert f"artifact addresses in {original.root}" in doctor.out
    assert words in must_run(copy.root, "versions").err
    assert must_run(copy.root, "versions").err == ""
    assert str(original.root) not in run_here(copy.root, "doctor").out
    assert must_run(original.root, "versions").err == ""


def test_the_server_of_up_begins_with_corrected_addresses(
    original: Workspace, copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Services, "_serve", lambda *_: None)  # no server is needed here
    with Services(copy.root) as services:
        services.start_mlflow(5000)
    assert [one for one in addresses(copy.root / "mlflow.db") if str(original.root) in one] == []


def test_a_database_copied_without_its_files_finds_them_where_they_are(
    original: Workspace, copy: Workspace
) -> None:
    shutil.rmtree(copy.root / "mlartifacts")
    before = files(original.root / "mlartifacts")
    assert predicts(copy)
    assert len(logs_a_file(copy)) == 1
    assert files(original.root / "mlartifacts") == before


def test_a_backup_is_restored_beside_a_checkout_that_lost_its_database(
    copy: Workspace, tmp_path: Path
) -> None:
    must_run(copy.root, "versions")
    restored = copied(copy, tmp_path / "restored")
    (copy.root / "mlflow.db").unlink()
    assert predicts(restored)
    shutil.rmtree(copy.root)
    assert predicts(restored)


def test_a_database_of_another_folder_is_left_alone(
    original: Workspace, copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = copy.root / "mlflow.db"
    before = addresses(lent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{lent}")
    must_run(original.root, "versions")
    assert addresses(lent) == before


def test_files_that_are_kept_elsewhere_on_purpose_stay_there(
    original: Workspace, tmp_path: Path
) -> None:
    space = copied(original, tmp_path / "here")
    must_run(space.root, "versions")
    disk = tmp_path / "disk"
    disk.mkdir()
    (space.root / "mlartifacts").rename(disk / "mlartifacts")
    with closing(sqlite3.connect(space.root / "mlflow.db")) as open_, open_:
        for table, column in database._ADDRESSES:
            open_.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608
                (space.root.as_uri(), disk.as_uri()),
            )
    before = addresses(space.root / "mlflow.db")
    assert predicts(space)
    assert addresses(space.root / "mlflow.db") == before


def test_a_checkout_reached_by_another_name_was_not_moved(copy: Workspace, tmp_path: Path) -> None:
    must_run(copy.root, "versions")
    before = addresses(copy.root / "mlflow.db")
    link = tmp_path / "link"
    link.symlink_to(copy.root)
    ended = must_run(link, "versions")
    assert ended.err == ""
    assert addresses(copy.root / "mlflow.db") == before
