"""A loss that is no number: which step is named, and what is left on the disk."""

import math

import pytest
import torch
from trained import train

from hgmnet.errors import HgmnetError
from hgmnet.training import callbacks, lightning_module
from hgmnet.training.checkpoints import LAST, mark

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")
BATCHES = 3
"""Of an epoch; the fifth step is the second epoch's second."""


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """The steps taken; the fifth one's loss is NaN."""
    taken: list[int] = []
    step = lightning_module.HGMNetModule.training_step

    def failing(self, rows, index):
        taken.append(len(taken) + 1)
        loss = step(self, rows, index)
        return loss * math.nan if len(taken) == 5 else loss

    monkeypatch.setattr(lightning_module.HGMNetModule, "training_step", failing)
    return taken


@pytest.mark.parametrize(("every", "noticed"), [(1, 5), (50, 6)])
def test_the_first_bad_step_is_named_and_nothing_after_it_kept(
    every, noticed, steps, monkeypatch, tmp_path
):
    """Every step, as on a CPU, and every 50, as on a GPU: there by the epoch's end."""
    monkeypatch.setattr(callbacks, "steps_a_look", lambda _: every)
    told: list[int] = []

    with pytest.raises(HgmnetError, match=r"in epoch 2, step 5: the loss is nan at") as raised:
        train(
            tmp_path,
            on_epoch=lambda f: told.append(f.epoch),
            model={"encoder": "tu-test_resnet"},
            epochs=3,
        )
    assert len(steps) == noticed
    assert told == [1]
    folder = tmp_path / "checkpoints"
    assert f"the weights after epoch 1 are kept in {folder}" in str(raised.value)
    assert [file.name for file in folder.iterdir()] == [LAST]
    assert mark(folder / LAST)


def test_a_gpu_is_looked_at_seldom_and_a_cpu_always():
    assert callbacks.steps_a_look(torch.device("cpu")) == 1
    assert callbacks.steps_a_look(torch.device("cuda")) == callbacks.STEPS_A_LOOK
