"""Trainings that are really killed, and end with the weights of one that was not."""

import random
import shutil
import signal
from pathlib import Path

import pytest
from trained import Trained, killed, same, train, weights

from hgmnet.checkpoints import LAST, PREVIOUS
from hgmnet.training import quiet_lightning

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:multiprocessing"),
]
EPOCHS = 3
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
    return train(tmp_path_factory.mktemp("whole"), epochs=EPOCHS)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A training of which the first epoch is done, and its checkpoint written."""
    folder = tmp_path_factory.mktemp("begun")
    assert killed(folder, "in an epoch", epochs=EPOCHS) == -signal.SIGKILL
    return folder


@pytest.mark.parametrize("point", LEFT)
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(point, whole, begun, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(begun, folder)
    ended = killed(folder, point, epochs=EPOCHS)
    assert ended == -(signal.SIGXFSZ if "half" in point else signal.SIGKILL)
    assert {file.name for file in (folder / "checkpoints").iterdir()} == LEFT[point]
    told: list[int] = []
    resumed = train(folder, on_epoch=lambda figures: told.append(figures.epoch), epochs=EPOCHS)
    assert told == ([] if point == "before the outputs" else [2, 3])
    assert same(weights(whole), weights(resumed))
    assert resumed.curves == whole.curves


def test_kills_at_any_moment_change_nothing(whole, tmp_path):
    moments = random.Random(0)
    kills = 0
    while killed(tmp_path, "never", moments.uniform(1, 4), epochs=EPOCHS) != 0:
        kills += 1
        assert kills < 40
    resumed = train(tmp_path, epochs=EPOCHS)
    assert same(weights(whole), weights(resumed))
    assert resumed.curves == whole.curves
