"""`hgmnet promote`, `rollback` and `history` on a real store, with registered versions."""

import subprocess
import sys

import pytest

from pipelines.artifacts.paths import Workspace
from tests.contenders import contenders_in

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stored(request, tmp_path_factory):
    """A repository with three versions that were not loaded back, and its store's address."""
    with contenders_in(request.param, tmp_path_factory.mktemp("repository")) as made:
        yield made


@pytest.fixture
def workspace(stored, monkeypatch) -> Workspace:
    workspace, address = stored
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return workspace


def hgmnet(workspace, *words):
    """Exit status, what was printed, and what was complained of."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *words],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_versions_are_listed_and_one_with_an_alias_cannot_be_deleted(workspace):
    status, said, complaint = hgmnet(workspace, "versions")
    assert (status, complaint) == (0, "")
    assert [line.split()[:3] for line in said.splitlines()[3:6]] == [
        [number, "passed", "0.750"] for number in ("3", "2", "1")
    ]
    status, _, complaint = hgmnet(workspace, "versions", "--delete", "3")
    assert status == 2
    assert "hgmnet-phantom version 3 is challenger; it can't be deleted" in complaint
    status, _, complaint = hgmnet(workspace, "versions", "--delete", "4")
    assert "has no version 4; there are: 3, 2, 1" in complaint


def test_from_the_first_champion_to_the_way_back(workspace):
    status, said, complaint = hgmnet(workspace, "promote", "--version", "1")
    assert (status, complaint) == (0, "")
    assert "version 1 serves from now on: it passed its gate, and none served before" in said

    status, said, complaint = hgmnet(workspace, "promote", "--dry-run", "--version", "2")
    assert (status, complaint) == (0, "")
    assert "version 2 serves from now on: better than champion 1" in said
    assert "Dry run: nothing was changed." in said
    assert "+0.30" in said
    assert "40 images in 20 groups: sees a true gain of 0.0" in said
    _, said, _ = hgmnet(workspace, "history")
    assert "champion: version 1." in said
    assert "1 decision, every link holds" in said

    status, said, complaint = hgmnet(workspace, "promote", "--version", "2")
    assert (status, complaint) == (0, "")
    head = said.split("head ")[1].strip()

    status, said, complaint = hgmnet(workspace, "promote", "--version", "1")
    assert status == 3
    assert "version 1 does not serve: worse than champion 2" in complaint
    status, _, complaint = hgmnet(
        workspace, "promote", "--version", "1", "--approve", "--reason", "x"
    )
    assert status == 3
    assert "worse than champion 2" in complaint

    status, said, complaint = hgmnet(workspace, "promote", "--version", "3")
    assert status == 3
    assert "not worse than champion 2; a person must decide" in complaint
    words = ("--approve", "--reason", "the same, on a newer release")
    status, said, complaint = hgmnet(workspace, "promote", "--version", "3", *words)
    assert (status, complaint) == (0, "")
    assert "the same, on a newer release" in said

    status, said, complaint = hgmnet(workspace, "rollback", "--reason", "seen to fail in use")
    assert (status, complaint) == (0, "")
    assert "version 2 serves again, after version 3" in said
    status, said, complaint = hgmnet(workspace, "history", "--head", head)
    assert (status, complaint) == (0, "")
    assert said.count("kept the champion 2, did not promote 1") == 2
    assert "champion: version 2." in said
    assert "every link holds." in said
    status, _, complaint = hgmnet(workspace, "history", "--head", "0" * 64)
    assert status == 4
    assert "rewritten, or cut short" in complaint


def test_the_champion_predicts(workspace, tmp_path):
    words = ("predict", "data/phantom/raw", "--out", str(tmp_path), "--version", "1")
    status, said, complaint = hgmnet(workspace, *words)
    assert (status, complaint) == (0, "")
    assert "6 images predicted by hgmnet-phantom version 1" in said
    assert len(list(tmp_path.glob("*_mask.png"))) == 6


def test_another_data_set_is_asked_of_both_versions_anew(workspace):
    hgmnet(workspace, "promote", "--version", "2")  # where it does not serve already
    words = ("promote", "--dry-run", "--version", "1", "--data", "other")
    status, said, complaint = hgmnet(workspace, *words)
    assert (status, complaint) == (0, "")
    assert "6 images that neither has seen" in said
    assert "3 images in 3 groups" in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("promote", "--version", "9"), "hgmnet-phantom has no version 9"),
        (("promote", "--version", "3", "--data", "nowhere"), "hgmnet import nowhere"),
        (("promote", "--approve"), "expected why you approve"),
        (("rollback", "--to", "9", "--reason", "x"), "version 9 never served"),
        (("rollback", "--reason", " "), "expected why"),
    ],
)
def test_what_cannot_be_done_is_one_line(workspace, words, complaint):
    status, _, told = hgmnet(workspace, *words)
    assert status == 2
    assert complaint in told
    assert told.count("\n") == 1
