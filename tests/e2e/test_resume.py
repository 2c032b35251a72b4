"""Trainings that are really killed, and end with the weights of one that was not."""

import random
import shutil
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
from small_store import params, small_store
from trained import Trained, killed, same, train, weights

from hgmnet.cli.main import report_errors
from hgmnet.training.checkpoints import LAST, PREVIOUS
from hgmnet.training.fit import quiet_lightning
from pipelines.artifacts.io import read_json
from pipelines.artifacts.lineage import TrainRun
from pipelines.artifacts.paths import Workspace
from pipelines.stages import train as stages_train
from tests.whole_repository import copy_code

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:multiprocessing"),
]
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"epochs": 3, "model": {"encoder": "tu-test_resnet"}}
LEFT = {
    "in an epoch": {LAST},
    "epoch told": {LAST},
    "checkpoint half written": {LAST, "last.part"},
    "checkpoint not yet renamed": {LAST, "last.part"},
    "between two renames": {PREVIOUS, "last.part"},
    "before the outputs": {LAST, PREVIOUS},
}
"""What a kill leaves on the disk, in or after the second of three epochs."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Trained:
    quiet_lightning()
    return train(tmp_path_factory.mktemp("whole"), **SMALL)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A training of which the first epoch is done, and its checkpoint written."""
    folder = tmp_path_factory.mktemp("begun")
    assert killed(folder, "in an epoch", **SMALL) == -signal.SIGKILL
    return folder


@pytest.mark.parametrize("point", LEFT)
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(point, whole, begun, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(begun, folder)
    ended = killed(folder, point, **SMALL)
    assert ended == -(signal.SIGXFSZ if "half" in point else signal.SIGKILL)
    assert {file.name for file in (folder / "checkpoints").iterdir()} == LEFT[point]
    told: list[int] = []
    resumed = train(folder, on_epoch=lambda figures: told.append(figures.epoch), **SMALL)
    assert told == ([] if point == "before the outputs" else [2, 3])
    assert same(weights(whole), weights(resumed))
    assert resumed.curves == whole.curves


def test_a_terminated_training_does_not_end_as_one_that_is_done(whole, begun, tmp_path):
    """Lightning stops at the next step and exits with 0; DVC would miss the outputs."""
    folder = tmp_path / "terminated"
    shutil.copytree(begun, folder)
    assert killed(folder, "terminated", **SMALL) == 128 + signal.SIGTERM
    assert same(weights(whole), weights(train(folder, **SMALL)))


@pytest.mark.long
def test_kills_at_any_moment_change_nothing(whole, tmp_path):
    moments = random.Random(0)
    lived = 0.5  # seconds; longer and longer, so that there is an end
    while killed(tmp_path, "never", lived * moments.uniform(1, 2), **SMALL) != 0:
        lived *= 1.3
    resumed = train(tmp_path, **SMALL)
    assert same(weights(whole), weights(resumed))
    assert resumed.curves == whole.curves


@pytest.fixture
def interrupted(tmp_path, monkeypatch, capsys) -> Path:
    """A repository whose training was stopped in its second epoch of two."""
    root = tmp_path / "repository"
    copy_code(root, "hgmnet")
    (root / "pipelines").symlink_to(ROOT / "pipelines")
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copy(ROOT / "params.yaml", root)
    small_store(root / "data/phantom/prepared")

    def stop(figures, _):
        if figures.epoch == 2:
            raise KeyboardInterrupt
        return "one"

    monkeypatch.setattr(stages_train, "epoch_line", stop)
    assert report_errors(lambda: stage(root)) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "hgmnet: interrupted; every finished epoch is kept: type the same command again"
    )
    monkeypatch.undo()
    return root


def stage(root: Path, **changes) -> None:
    settings = params(**changes)
    model = settings.model.model_copy(update={"encoder": "tu-test_resnet"})
    stages_train.run(root, settings.data, settings.prepare, model, settings.train)


def test_what_is_unchanged_goes_on(interrupted, capsys):
    stage(interrupted)
    assert first_epoch(capsys) == 2


def test_a_training_tells_on_what_it_was_made(interrupted):
    space = Workspace(interrupted, "phantom")
    assert not space.train_run.exists()
    stage(interrupted)
    run = read_json(space.train_run, TrainRun)
    assert run.git_commit == "unknown"
    assert run.device.startswith("CPU")
    assert run.processes == 1
    assert 0 < run.seconds < 600
    assert run.packages["torch"].startswith(version("torch"))
    assert run.params["train.epochs"] == "2"
    assert run.params["model.encoder"] == "tu-test_resnet"


def test_changed_params_start_afresh(interrupted, capsys):
    stage(interrupted, seed=1)
    assert first_epoch(capsys) == 1


def test_changed_data_start_afresh(interrupted, capsys):
    (interrupted / "data/phantom/prepared/images.npy").unlink()
    small_store(interrupted / "data/phantom/prepared", 24)
    stage(interrupted)
    assert first_epoch(capsys) == 1


def test_changed_code_starts_afresh(interrupted, capsys):
    with (interrupted / "hgmnet/training/losses.py").open("a") as file:
        file.write("# changed\n")
    stage(interrupted)
    assert first_epoch(capsys) == 1


def first_epoch(capsys) -> int:
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    return int(lines[0][len("epoch ")])
