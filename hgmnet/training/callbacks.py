"""Lightning callback: stops at a non-finite loss, reports epochs, writes checkpoints.

Reading a loss makes the CPU wait for the GPU, so on a GPU it happens every 50 steps and at the
epoch's end; on a CPU, in every step. Either way the error names the first bad step, and nothing
after it is saved: checkpoints are written at an epoch's end, after the check.
"""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as lightning
import torch
from torch import Tensor

from hgmnet.data.progress import bar
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.training.checkpoints import LAST, AtomicCheckpointIO
from hgmnet.training.lightning_module import EpochFigures, HGMNetModule

STEPS_A_LOOK = 50


class TrainingMonitor(lightning.Callback):
    """Reports each epoch, stops at a non-finite loss, writes the checkpoints."""

    def __init__(
        self,
        on_epoch: Callable[[EpochFigures], None],
        folder: Path,
        checkpoints: AtomicCheckpointIO,
        mark: str,
    ) -> None:
        """Monitor a training that writes `checkpoints` to `folder`.

        `on_epoch` is called in the first process only. `mark`: identifies everything that must be
        equal in all processes.
        """
        self.on_epoch, self.folder, self.mark = on_epoch, folder, mark
        self.checkpoints = checkpoints
        self._learning_rate = 0.0
        self._steps: list[tuple[int, float, Tensor]] = []  # number, learning rate, loss

    def on_fit_start(self, trainer: lightning.Trainer, _: Any) -> None:
        """Check that all processes train the same, from the same checkpoint."""
        if trainer.world_size > 1:
            marks = [""] * trainer.world_size
            torch.distributed.all_gather_object(marks, self.mark)
            if len(set(marks)) > 1:
                raise ConfigError(
                    "the processes of this training differ in params.yaml, code, data or "
                    "checkpoint; give every machine the same files, best by a shared folder, and "
                    "start again"
                )

    def on_train_epoch_start(self, trainer: lightning.Trainer, learner: Any) -> None:
        """Show a bar for the epoch's steps."""
        if trainer.is_global_zero:
            what = f"epoch {learner.epoch}/{learner.settings.all_epochs}"
            self._bar = bar(what, trainer.num_training_batches, " steps")

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Store the learning rate, which has changed when the step ends."""
        self._learning_rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, *_: Any) -> None:
        """Store the loss, and check the stored ones if it is time."""
        self._steps.append((trainer.global_step, self._learning_rate, outputs["loss"]))
        if trainer.is_global_zero:
            self._bar.update()
        if len(self._steps) >= steps_a_look(learner.device):
            self._look(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, _: Any) -> None:
        """Remove the bar, and check the losses of the epoch's last steps."""
        if trainer.is_global_zero:
            self._bar.close()
        self._look(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: Any) -> None:
        """Report the epoch, then save its checkpoint."""
        figures = learner.curves[-1]
        if not isfinite(figures.train_loss + figures.val_loss):
            raise self._diverged(trainer, trainer.global_step, figures.val_loss)
        if trainer.is_global_zero:
            self.on_epoch(figures)
        trainer.save_checkpoint(self.folder / LAST)
        failure = trainer.strategy.broadcast(self.checkpoints.failure)
        if failure is not None:
            raise failure

    def _look(self, trainer: lightning.Trainer) -> None:
        steps, self._steps = self._steps, []
        if not steps:
            return
        losses = torch.stack([loss for _, _, loss in steps])
        losses = trainer.strategy.reduce(losses, reduce_op="mean")
        for (number, rate, _), loss in zip(steps, losses.tolist(), strict=True):
            if not isfinite(loss):
                self._learning_rate = rate
                raise self._diverged(trainer, number, loss)

    def _diverged(self, trainer: lightning.Trainer, step: int, loss: float) -> HgmnetError:
        epoch = cast("HGMNetModule", trainer.lightning_module).epoch - 1
        kept = f"the weights after epoch {epoch} are kept in {self.folder}; " if epoch else ""
        return HgmnetError(
            f"training diverged in epoch {epoch + 1}, step {step}: the loss is {loss} at learning "
            f"rate {self._learning_rate:.2g}; {kept}lower train.learning_rate"
        )


def steps_a_look(device: torch.device) -> int:
    """Number of steps between two checks of the losses."""
    return 1 if device.type == "cpu" else STEPS_A_LOOK
