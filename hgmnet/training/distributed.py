"""Training in one process or several: which processes, and each one's part of a batch.

On one machine Lightning starts the further processes by running the same command again; on
several, torchrun starts all of them. Of a batch, process r of n takes images r, r + n, r + 2n, ...
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from hgmnet.config.training import Train
from hgmnet.errors import ConfigError, HgmnetError

_PARENT = "HGMNET_FIRST_PROCESS"
_POLL_S = 0.5


@dataclass(frozen=True)
class DevicePlan:
    """The training's processes: `devices` on each of `nodes` machines, on CUDA GPUs or CPUs."""

    devices: int
    nodes: int
    cuda: bool

    @property
    def processes(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.nodes


def plan(train: Train) -> DevicePlan:
    """Choose the processes by the settings and this machine's devices.

    Raises:
        ConfigError: too few GPUs, unsupported precision, more processes than images in a batch,
            or torchrun started other processes than configured.
    """
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if train.accelerator == "gpu" and not seen:
        raise ConfigError("train.accelerator: gpu, but torch sees none; set it to auto or cpu")
    cuda = train.accelerator != "cpu" and seen > 0
    devices = train.devices if train.devices != "auto" else (seen if cuda else 1)
    if cuda and devices > seen:
        raise ConfigError(f"train.devices: {devices}, but torch sees {seen} GPUs; set it to auto")
    wants_bf16 = cuda and train.precision == "bf16-mixed"
    if wants_bf16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f"train.precision: bf16-mixed, but {torch.cuda.get_device_name()} has no bf16; set it "
            "to 16-mixed or 32-true"
        )
    planned = DevicePlan(devices, train.num_nodes, cuda)
    _check_started(planned)
    if planned.processes > train.batch_size:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} images for {planned.processes} processes; "
            "raise it, or lower train.devices"
        )
    return planned


def trainer_settings(train: Train, planned: DevicePlan) -> dict[str, Any]:
    """Device settings of Lightning's Trainer; passes them on to the other processes."""
    if planned.processes == 1 and train.strategy == "auto":
        return {"accelerator": train.accelerator, "devices": 1}
    if is_first():
        os.environ[_PARENT] = str(os.getpid())
    return {
        "accelerator": "gpu" if planned.cuda else "cpu",
        "devices": planned.devices,
        "num_nodes": planned.nodes,
        "strategy": DDPStrategy(
            process_group_backend="nccl" if planned.cuda else "gloo",
            broadcast_buffers=False,  # the statistics are equal in all processes
        ),
        "use_distributed_sampler": False,  # `share` distributes
    }


def environment() -> LightningEnvironment | TorchElasticEnvironment:
    """Return what starts the processes, torchrun or Lightning; never guessed from a cluster."""
    return TorchElasticEnvironment() if _torchrun() else LightningEnvironment()


def is_first() -> bool:
    """Whether this is the first process: the one that prints and writes the results."""
    return int(os.environ.get("RANK" if _torchrun() else "LOCAL_RANK", "0")) == 0


@contextmanager
def following() -> Iterator[None]:
    """Run the training of a process other than the first.

    It ends with the first, however that ends. Errors common to all are reported by the first; this
    one exits with 0, as Lightning would kill the first on another status before it reports.
    """
    if not _torchrun():
        threading.Thread(target=_end_without, args=(os.environ.get(_PARENT),), daemon=True).start()
    try:
        yield
    except HgmnetError:
        raise SystemExit(0) from None


def share(trainer: lightning.Trainer) -> slice:
    """Return this process's positions in a batch."""
    return slice(trainer.global_rank, None, trainer.world_size)


def summed(trainer: lightning.Trainer, values: Sequence[float]) -> list[float]:
    """Sum each value over the processes."""
    if trainer.world_size == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=trainer.strategy.root_device)
    reduced: list[float] = trainer.strategy.reduce(total, reduce_op="sum").tolist()
    return reduced


def _check_started(planned: DevicePlan) -> None:
    wanted = (planned.processes, planned.devices)
    if not _torchrun():
        if planned.nodes > 1:
            raise ConfigError(
                f"train.num_nodes: {planned.nodes} machines are started by torchrun, on each of "
                "them; docs/training.md has the line"
            )
        return
    started = (int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"]))
    if started != wanted:
        raise ConfigError(
            f"torchrun started {started[0]} processes, {started[1]} on this machine, but "
            f"train.devices and num_nodes are {wanted[0]} and {wanted[1]}; make them agree"
        )


def _torchrun() -> bool:
    return TorchElasticEnvironment.detect()


def _end_without(parent: str | None) -> None:
    while parent == str(os.getppid()):
        time.sleep(_POLL_S)
    os._exit(1)
