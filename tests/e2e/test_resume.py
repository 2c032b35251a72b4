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
SMALL = {"epochs": 3, "encoder": "tu-test_resnet"}
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


def test_kills_at_any_moment_change_nothing(whole, tmp_path):
    moments = random.Random(0)
    lived = 0.5  # seconds; longer and longer, so that there is an end
    while killed(tmp_path, "never", lived * moments.uniform(1, 2), **SMALL) != 0:
        lived *= 1.3
    resumed = train(tmp_path, **SMALL)
    assert same(weights(whole), weights(resumed))
    assert resumed.curves == whole.curves
