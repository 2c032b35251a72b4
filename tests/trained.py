"""Trainings of seconds, here or in a process that is killed at a chosen point."""

import os
import resource
import signal
from multiprocessing import get_context
from pathlib import Path

import torch
from small_store import params, small_store

from hgmnet.training import lightning_module
from hgmnet.training.checkpoints import LAST
from hgmnet.training.fit import Trained, fit, quiet_lightning

_FORKSERVER = get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["hgmnet.training.fit"])  # what takes seconds to import


def train(folder: Path, store=None, on_epoch=lambda _: None, model=None, **changes) -> Trained:
    settings = params(**changes)
    return fit(
        store or small_store(folder / "store"),
        data=settings.data,
        prepare=settings.prepare,
        model=settings.model.model_copy(update=model or {}),
        train=settings.train,
        root=folder,
        fingerprint="f",
        checkpoints=folder / "checkpoints",
        on_epoch=on_epoch,
    )


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def killed(folder: Path, point: str, seconds: float | None = None, **changes) -> int | None:
    """How a training ended that dies at a point, or is killed after some seconds if it lives."""
    child = _FORKSERVER.Process(target=_train_to, args=(folder, point, changes))
    child.start()
    child.join(seconds)
    child.kill()
    child.join()
    return child.exitcode


def _train_to(folder: Path, point: str, changes) -> None:
    quiet_lightning()
    torch.set_num_threads(1)
    POINTS[point](folder)
    train(folder, on_epoch=_second_epoch if point == "epoch told" else lambda _: None, **changes)
    if point == "before the outputs":
        _die()


def _die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _second_epoch(figures) -> None:
    if figures.epoch == 2:
        _die()


def _in_the_second_epoch(_: Path) -> None:
    step = lightning_module.HGMNetModule.training_step

    def dying(self, batch, index):
        if (self.current_epoch, index) == (1, 1):
            _die()
        return step(self, batch, index)

    lightning_module.HGMNetModule.training_step = dying


def _terminated(_: Path) -> None:
    step = lightning_module.HGMNetModule.training_step

    def stopped(self, batch, index):
        if (self.current_epoch, index) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, index)

    lightning_module.HGMNetModule.training_step = stopped


def _half_written(folder: Path) -> None:
    """The kernel ends the process where a file would grow beyond a limit: at half a checkpoint."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    half = (folder / "checkpoints" / LAST).stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (half, half))


def _when_synced(_: Path) -> None:
    os.fsync = _die


def _between_renames(_: Path) -> None:
    rename = Path.replace

    def dying(self, target):
        if self.name == "last.part":
            _die()
        return rename(self, target)

    Path.replace = dying


POINTS = {
    "in an epoch": _in_the_second_epoch,
    "terminated": _terminated,
    "epoch told": lambda _: None,
    "checkpoint half written": _half_written,
    "checkpoint not yet renamed": _when_synced,
    "between two renames": _between_renames,
    "before the outputs": lambda _: None,
    "never": lambda _: None,
}
