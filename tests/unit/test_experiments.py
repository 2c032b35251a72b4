"""Settings of an experiment: what they become, what is refused, and whose state it shares."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError
from pipelines.artifacts.paths import Workspace, checkout
from pipelines.operations.experiments import _uncommitted, settings
from pipelines.registry.tracking_store import tracking_uri

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A git repository with a commit, and two profiles."""
    (tmp_path / "profiles").mkdir()
    for name in ("quickstart", "busi-cpu"):
        shutil.copy(REPOSITORY / "profiles" / f"{name}.yaml", tmp_path / "profiles")
    shutil.copy(REPOSITORY / "profiles/quickstart.yaml", tmp_path / "params.yaml")
    who = ["-c", "user.name=me", "-c", "user.email=me@here"]
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_settings_change_and_comments_stay(root: Path) -> None:
    changes = {"train.epochs": 3, "train.learning_rate": 1e-4, "prepare.fit": "letterbox"}
    text, params = settings(root, None, changes)
    assert (params.train.epochs, params.train.learning_rate) == (3, 1e-4)
    assert params.prepare.fit == "letterbox"
    first = (root / "params.yaml").read_text().splitlines()[0]
    assert first.startswith("#")
    assert text.startswith(first)


def test_a_profile_takes_the_place_of_params(root: Path) -> None:
    _, params = settings(root, "busi-cpu", {"data.name": "clinic"})
    assert (params.data.name, params.registry.name) == ("clinic", "hgmnet-busi")


def test_a_file_name_in_latin_1_does_not_end_an_experiment(root: Path) -> None:
    notes = root / "data/clinic" / os.fsdecode(b"gr\xfcn.txt")
    notes.parent.mkdir(parents=True)
    try:
        notes.touch()
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    assert notes in _uncommitted(Workspace(root, "clinic"))


@pytest.mark.parametrize(
    ("profile", "changes", "told"),
    [
        ("huge", {}, "no profile `huge`; there are: busi-cpu, quickstart"),
        (None, {"train.epoch": 3}, "train.epoch is not a setting of params.yaml"),
        (None, {"trains.epochs": 3}, "trains.epochs is not a setting"),
        (None, {"train.epochs.x": 3}, "train.epochs.x is not a setting"),
        (None, {"train.epochs": -3}, "train.epochs"),
        (None, {"train": 3}, "train"),
    ],
)
def test_what_is_no_setting_is_refused(root, profile, changes, told) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(root, profile, changes)


def test_an_experiment_needs_a_commit(root: Path) -> None:
    shutil.rmtree(root / ".git")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    with pytest.raises(ConfigError, match="a git repository with a commit"):
        settings(root, None, {"train.epochs": 3})


@pytest.mark.parametrize("copy", [".dvc/tmp/exps/hgmnet", ".dvc/tmp/exps/standalone/tmp1"])
def test_a_copy_shares_the_state_of_its_checkout(tmp_path: Path, copy: str, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert checkout(tmp_path / copy) == checkout(tmp_path) == tmp_path
    there, here = Workspace(tmp_path / copy, "phantom"), Workspace(tmp_path, "phantom")
    assert (there.openings, there.checkpoints) == (here.openings, here.checkpoints)
    assert tracking_uri(there.root) == tracking_uri(here.root)
