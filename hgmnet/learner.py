"""What Lightning runs: one step, one validation, the moving average of the weights.

All randomness of a step comes from (seed, epoch, batch), so a training that goes on from a
checkpoint sees exactly what an uninterrupted one would have seen. It is drawn for the whole batch;
where several processes train, each takes its share of batch and draw (`hgmnet.devices`).
"""

from collections.abc import Mapping
from typing import Any, cast

import lightning.pytorch as lightning
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, Dataset

from hgmnet.config import Train
from hgmnet.data.augment import apply, draw
from hgmnet.devices import share, summed
from hgmnet.inference import normalise
from hgmnet.losses import joint_loss
from hgmnet.models.gating import HierarchicalGating, area_resize
from hgmnet.models.hgmnet import HGMNet, Prediction
from hgmnet.models.spec import Spec

_SUMS = ("n", "lesions", "loss", "dice", "coarse", "correct", "correlation")
"""What a val batch adds to."""


class EpochFigures(BaseModel):
    """What an epoch showed; Dice and accuracy on the prepared val images, at 0.5 and the argmax.

    `gate_correlation`: Pearson's, of the gates with the coarse map at their scale, mean over
    scales. `gate_gamma`: mean absolute strength of the gate. Both are 0 where there is no gate.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_lesion_dice: float
    val_coarse_dice: float
    val_accuracy: float
    gate_correlation: float
    gate_gamma: float


class DeviceData:
    """Prepared images that live on the training device; shared, never copied with the module.

    `images`, `masks`: (N, S, S) uint8. `labels`: (N,) int64. `train`, `val`: row numbers.
    """

    def __init__(
        self, images: Tensor, masks: Tensor, labels: Tensor, train: Tensor, val: Tensor
    ) -> None:
        """Hold what belongs together."""
        self.images, self.masks, self.labels = images, masks, labels
        self.train, self.val = train, val

    def to(self, device: torch.device) -> None:
        """Move the pictures; row numbers stay on the CPU."""
        self.images, self.masks = self.images.to(device), self.masks.to(device)
        self.labels = self.labels.to(device)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, S, S) uint8, masks (B, 1, S, S) float in {0, 1} and labels (B,) of rows."""
        where = rows.to(self.images.device)
        return self.images[where], self.masks[where].unsqueeze(1).float(), self.labels[where]


class Learner(lightning.LightningModule):
    """Trains an HGM-Net; `average` holds the moving average of its weights and statistics."""

    def __init__(self, network: HGMNet, spec: Spec, train: Train, data: DeviceData) -> None:
        """Take a fresh network and the data that it learns from."""
        super().__init__()
        self.network = network
        decay = train.ema_decay if train.select == "ema" else 0.0
        towards = get_ema_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(network, avg_fn=towards, use_buffers=True)
        self.average.requires_grad_(False)
        self.spec, self.settings, self.data = spec, train, data
        self.curves: list[EpochFigures] = []
        self._losses: list[Tensor] = []
        self._val: list[dict[str, Tensor]] = []

    @property
    def averaged(self) -> HGMNet:
        """The network whose weights are the moving average."""
        return cast("HGMNet", self.average.module)

    @property
    def steps(self) -> int:
        """Optimiser steps an epoch; a last, smaller batch is left out."""
        return max(1, len(self.data.train) // self.settings.batch_size)

    def on_fit_start(self) -> None:
        """Bring the pictures to the device."""
        self.data.to(self.device)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Row numbers of this epoch's batches, shuffled by (seed, epoch)."""
        generator = torch.Generator().manual_seed(self._seed(0))
        order = self.data.train[torch.randperm(len(self.data.train), generator=generator)]
        size = self.settings.batch_size
        return _rows(order, size, drop_last=len(order) > size)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Row numbers of val, in order."""
        return _rows(self.data.val, self.settings.batch_size, drop_last=False)

    def configure_optimizers(self) -> Any:
        """AdamW, its rate on one cycle over the whole training."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )
        total = self.steps * self.settings.epochs + 1
        cycle = OneCycleLR(
            optimizer,
            max_lr=self.settings.learning_rate,
            total_steps=total,
            pct_start=max(self.settings.warmup, 2 / total),  # it divides by pct_start * total - 1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, rows: Tensor, index: int) -> Tensor:
        """Loss of this process's share of an augmented batch; their mean is the batch's."""
        torch.manual_seed(self._seed(index + 1))  # for dropout
        generator = torch.Generator().manual_seed(self._seed(index + 1))
        mine = rows[share(self.trainer)]
        image, mask, label = self.data.batch(mine)
        drawn = draw(len(rows), self.settings.augment, generator).part(share(self.trainer))
        image, mask = apply(image.unsqueeze(1).float() / 255, mask, drawn)
        out = self.network((image - self.spec.mean) / self.spec.std)
        loss = joint_loss(out, mask, label, self.settings.loss, self.spec.model)
        loss = loss * (len(mine) * self.trainer.world_size / len(rows))
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average towards the new weights."""
        self.average.update_parameters(self.network)

    def validation_step(self, rows: Tensor, index: int) -> None:
        """Sums over a val batch, by the averaged weights; whole batches are dealt out."""
        if index % self.trainer.world_size != self.global_rank:
            return
        square, mask, label = self.data.batch(rows)
        out = self.average(normalise(square, self.spec))
        loss = joint_loss(out, mask, label, self.settings.loss, self.spec.model)
        lesion = mask.flatten(1).any(dim=1)
        self._val.append(
            {
                "n": torch.tensor(float(len(rows))),
                "lesions": lesion.sum().float(),
                "loss": loss * len(rows),
                "dice": (_dice(out.mask_logits, mask) * lesion).sum(),
                "coarse": (_dice(out.coarse_mask_logits, mask) * lesion).sum(),
                "correct": (out.class_logits.argmax(dim=1) == label).sum().float(),
                "correlation": _gate_correlation(out) * len(rows),
            }
        )

    def on_validation_epoch_end(self) -> None:
        """Note the figures of the epoch: validation runs at its end."""
        train_loss = float(torch.stack(self._losses).mean()) / self.trainer.world_size
        sums = [float(sum(float(part[k]) for part in self._val)) for k in _SUMS]
        train_loss, *sums = summed(self.trainer, [train_loss, *sums])
        total = dict(zip(_SUMS, sums, strict=True))
        n, lesions = total["n"], max(total["lesions"], 1.0)
        gating = self.averaged.gating
        gammas = gating.gamma() if isinstance(gating, HierarchicalGating) else [torch.zeros(1)]
        self.curves.append(
            EpochFigures(
                epoch=self.current_epoch + 1,
                learning_rate=float(self.trainer.optimizers[0].param_groups[0]["lr"]),
                train_loss=train_loss,
                val_loss=total["loss"] / n,
                val_lesion_dice=total["dice"] / lesions,
                val_coarse_dice=total["coarse"] / lesions,
                val_accuracy=total["correct"] / n,
                gate_correlation=total["correlation"] / n,
                gate_gamma=sum(float(g.abs().mean()) for g in gammas) / len(gammas),
            )
        )
        self._losses.clear()
        self._val.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curves so far go on with the training."""
        checkpoint["curves"] = [figures.model_dump() for figures in self.curves]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up the curves."""
        self.curves = [EpochFigures(**figures) for figures in checkpoint["curves"]]

    def _seed(self, index: int) -> int:
        return (self.settings.seed * 1_000_003 + self.current_epoch) * 100_003 + index


def _rows(order: Tensor, size: int, *, drop_last: bool) -> DataLoader[Tensor]:
    return DataLoader(cast("Dataset[Tensor]", order), batch_size=size, drop_last=drop_last)


def _dice(logits: Tensor, mask: Tensor) -> Tensor:
    predicted = (logits > 0).float()
    overlap = (predicted * mask).sum(dim=(1, 2, 3))
    total = (predicted + mask).sum(dim=(1, 2, 3))
    return 2 * overlap / total.clamp(min=1)


def _gate_correlation(out: Prediction) -> Tensor:
    if not out.gates:
        return torch.tensor(0.0)
    prob = out.coarse_mask_logits.float().sigmoid()
    pairs = [torch.stack([g.flatten(), area_resize(prob, g).flatten()]) for g in out.gates]
    return torch.stack([torch.corrcoef(pair)[0, 1].nan_to_num() for pair in pairs]).mean()
