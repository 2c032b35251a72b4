"""Who trains, and what is said where that can't be."""

from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_store import params

from hgmnet.errors import ConfigError
from hgmnet.training.distributed import DevicePlan, is_first, plan, share


@pytest.fixture
def gpus(monkeypatch):
    def seen(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return seen


def settings(**train):
    return params(**train).train


@pytest.mark.parametrize(
    ("count", "train", "expected"),
    [
        (0, {"accelerator": "auto", "devices": "auto"}, DevicePlan(1, 1, cuda=False)),
        (0, {"accelerator": "cpu", "devices": 2}, DevicePlan(2, 1, cuda=False)),
        (4, {"accelerator": "auto", "devices": "auto"}, DevicePlan(4, 1, cuda=True)),
        (4, {"accelerator": "gpu", "devices": 2}, DevicePlan(2, 1, cuda=True)),
        (4, {"accelerator": "cpu", "devices": "auto"}, DevicePlan(1, 1, cuda=False)),
    ],
)
def test_auto_is_every_gpu_and_one_process_on_a_cpu(count, train, expected, gpus):
    gpus(count)
    assert plan(settings(**train)) == expected


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"accelerator": "gpu", "devices": 4}, "devices: 4, but torch sees 2 GPUs"),
        ({"devices": 5, "batch_size": 4}, "batch_size: 4 images for 5 processes"),
        ({"devices": 2, "num_nodes": 2}, "2 machines are started by torchrun"),
    ],
)
def test_what_cannot_be_is_a_mistake_in_params(train, said, gpus):
    gpus(2)
    with pytest.raises(ConfigError, match=said):
        plan(settings(**train))


def test_torchrun_must_start_what_the_settings_say(monkeypatch):
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "a"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("RANK", "3"),
    ):
        monkeypatch.setenv(name, value)
    assert plan(settings(devices=2, num_nodes=2)) == DevicePlan(2, 2, cuda=False)
    assert not is_first()
    with pytest.raises(ConfigError, match="torchrun started 4 processes, 2 on this machine, but"):
        plan(settings(devices=4))


@given(st.integers(0, 40), st.integers(1, 9))
def test_every_image_of_a_batch_is_dealt_out_once_and_evenly(count, processes):
    trainers = [SimpleNamespace(global_rank=r, world_size=processes) for r in range(processes)]
    shares = [list(range(count))[share(trainer)] for trainer in trainers]
    assert sorted(chain.from_iterable(shares)) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    if processes == 1:
        assert shares == [list(range(count))]
