"""Lightning module of HGM-Net, and the moving average of its weights and statistics."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import lightning.pytorch as lightning
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from hgmnet.config.training import Train
from hgmnet.models.gating import HierarchicalGating, area_resize
from hgmnet.models.hgmnet import HGMNet, NetworkOutput
from hgmnet.models.spec import Spec, normalise
from hgmnet.training.augmentation import apply, draw
from hgmnet.training.batches import Batch, Batches, BatchSource, draw_rows
from hgmnet.training.distributed import share, summed
from hgmnet.training.losses import joint_loss


class ExponentialMovingAverage(nn.Module):
    """A copy of a network, averaged: average += (1 - decay) * (network - average).

    Unlike torch's AveragedModel, it neither waits for the device's counter in every step nor
    averages the buffers one by one.
    """

    def __init__(self, network: HGMNet, decay: float) -> None:
        super().__init__()
        self.module = deepcopy(network).requires_grad_(requires_grad=False)
        self.decay = decay

    def forward(self, image: Tensor) -> NetworkOutput:
        """Run the averaged network as `HGMNet.forward`."""
        return cast("NetworkOutput", self.module(image))

    @torch.no_grad()
    def update(self, network: HGMNet, step: int) -> None:
        """Average in the network's values; copy them in the first step, and counters always.

        `network`: of equal architecture, on the same device. `step`: optimiser steps done, from 1.
        """
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        share = 1.0 if step == 1 else 1 - self.decay
        torch._foreach_lerp_([own for own, _ in moving], [new for _, new in moving], share)
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_copy_([own for own, _ in counters], [new for _, new in counters])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


_SUMS = ("n", "lesions", "loss", "dice", "coarse", "correct", "correlation")
"""Totals to which each val batch adds."""


class EpochFigures(BaseModel):
    """Figures of an epoch; Dice and accuracy on the prepared val images, at 0.5 and the argmax.

    None for a task that the model does not learn.
    `gate_correlation`: Pearson's, of the gates with the coarse map at their scale, mean over
    scales. `gate_gamma`: mean absolute strength of the gate. Both are 0 without a gate.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_lesion_dice: float | None
    val_coarse_dice: float | None
    val_accuracy: float | None
    gate_correlation: float
    gate_gamma: float


class HGMNetModule(lightning.LightningModule):
    """Trains an HGM-Net; `average` is the moving average of its weights and statistics.

    `member`: number of the network in its ensemble, from 0; it is added to the seed.
    """

    def __init__(
        self, network: HGMNet, spec: Spec, train: Train, feed: BatchSource, *, member: int = 0
    ) -> None:
        super().__init__()
        network.to(memory_format=torch.channels_last)
        network.map_dropout.p = train.map_dropout
        self.network = network
        decay = train.ema_decay if train.select == "ema" else 0.0
        self.average = ExponentialMovingAverage(network, decay)
        if train.compile:
            network.compile()
        self.spec, self.settings, self.feed, self.member = spec, train, feed, member
        self.curves: list[EpochFigures] = []
        self._losses: list[Tensor] = []
        self._val: list[dict[str, Tensor]] = []

    @property
    def averaged(self) -> HGMNet:
        """The network with the averaged weights."""
        return self.average.module

    @property
    def epoch(self) -> int:
        """Number of this epoch, from 1, over all members."""
        return self.member * self.settings.epochs + self.current_epoch + 1

    @property
    def batch_size(self) -> int:
        """Images per step, over all processes: as configured, or all train images if fewer."""
        return min(self.settings.batch_size, len(self.feed.train))

    @property
    def steps(self) -> int:
        """Optimiser steps per epoch; a last, smaller batch is skipped."""
        return len(self.feed.train) // self.batch_size

    def on_fit_start(self) -> None:
        """Move the images to the device, or set the device that they are streamed to."""
        self.feed.to(self.device)

    def train_dataloader(self) -> Batches:
        """This process's part of this epoch's batches, shuffled by (seed, epoch)."""
        generator = torch.Generator().manual_seed(self._seed(0))
        rows = draw_rows(self.feed, self.settings.class_balance, generator)
        whole = torch.split(rows, self.batch_size)[: self.steps]
        return Batches(self.feed, [batch[share(self.trainer)] for batch in whole])

    def val_dataloader(self) -> Batches:
        """Batches of val, in order."""
        return Batches(self.feed, torch.split(self.feed.val, self.settings.batch_size))

    def configure_optimizers(self) -> Any:
        """Return AdamW with a one-cycle learning rate over the whole training."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        encoders = nn.ModuleList(self.network.encoders())
        known = set(encoders.parameters())
        others = [p for p in self.network.parameters() if p not in known]
        rates = [rate, rate * self.settings.encoder_rate]
        groups = [{"params": others}, {"params": [*encoders.parameters()]}]
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)
        total = self.steps * self.settings.epochs + 1
        warmup = max(self.settings.warmup, 2 / total)  # it divides by pct_start * total - 1
        cycle = OneCycleLR(optimizer, max_lr=rates, total_steps=total, pct_start=warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss, a scalar, of this process's part of an augmented batch; never waits for a GPU.

        The mean of the processes' losses is that of the whole batch.
        """
        torch.manual_seed(self._seed(index + 1))  # for dropout
        generator = torch.Generator().manual_seed(self._seed(index + 1))
        whole = self.batch_size
        drawn = draw(whole, self.settings.augment, generator).part(share(self.trainer))
        image, mask = batch.images.unsqueeze(1).float() / 255, batch.masks.unsqueeze(1).float()
        image, mask = apply(image, mask, drawn)
        out = self.network((image - self.spec.mean) / self.spec.std)
        loss = joint_loss(out, mask, batch.labels, self.settings.loss, self.spec.model)
        loss = loss * (len(batch.labels) * self.trainer.world_size / whole)
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the moving average with the new weights."""
        self.average.update(self.network, self.trainer.global_step)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add a val batch's sums, by the averaged weights; processes take whole batches."""
        if index % self.trainer.world_size != self.global_rank:
            return
        mask, label = batch.masks.unsqueeze(1).float(), batch.labels
        out = self.average(normalise(batch.images, self.spec))
        loss = joint_loss(out, mask, label, self.settings.loss, self.spec.model)
        lesion = mask.flatten(1).any(dim=1)
        self._val.append(
            {
                "n": torch.tensor(float(len(label))),
                "lesions": lesion.sum().float(),
                "loss": loss * len(label),
                "dice": (_dice(out.mask_logits, mask) * lesion).sum(),
                "coarse": (_dice(out.coarse_mask_logits, mask) * lesion).sum(),
                "correct": (out.class_logits.argmax(dim=1) == label).sum().float(),
                "correlation": _gate_correlation(out) * len(label),
            }
        )

    def on_validation_epoch_end(self) -> None:
        """Store the epoch's figures: validation runs at its end."""
        train_loss = float(torch.stack(self._losses).mean()) / self.trainer.world_size
        sums = [float(sum(float(part[k]) for part in self._val)) for k in _SUMS]
        train_loss, *sums = summed(self.trainer, [train_loss, *sums])
        total = dict(zip(_SUMS, sums, strict=True))
        n, lesions = total["n"], max(total["lesions"], 1.0)
        gating, model = self.averaged.gating, self.spec.model
        gammas = gating.gamma() if isinstance(gating, HierarchicalGating) else [torch.zeros(1)]
        self.curves.append(
            EpochFigures(
                epoch=self.epoch,
                learning_rate=float(self.trainer.optimizers[0].param_groups[0]["lr"]),
                train_loss=train_loss,
                val_loss=total["loss"] / n,
                val_lesion_dice=total["dice"] / lesions if model.segments else None,
                val_coarse_dice=total["coarse"] / lesions if model.coarse else None,
                val_accuracy=total["correct"] / n if model.classifies else None,
                gate_correlation=total["correlation"] / n,
                gate_gamma=sum(float(g.abs().mean()) for g in gammas) / len(gammas),
            )
        )
        self._losses.clear()
        self._val.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the curves so far."""
        checkpoint["curves"] = [figures.model_dump() for figures in self.curves]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the curves."""
        self.curves = [EpochFigures(**figures) for figures in checkpoint["curves"]]

    def _seed(self, index: int) -> int:
        seed = self.settings.seed + self.member
        return (seed * 1_000_003 + self.current_epoch) * 100_003 + index


def _dice(logits: Tensor, mask: Tensor) -> Tensor:
    predicted = (logits > 0).float()
    overlap = (predicted * mask).sum(dim=(1, 2, 3))
    total = (predicted + mask).sum(dim=(1, 2, 3))
    return 2 * overlap / total.clamp(min=1)


def _gate_correlation(out: NetworkOutput) -> Tensor:
    if not out.gates:
        return torch.tensor(0.0)
    prob = out.coarse_mask_logits.float().sigmoid()
    pairs = [torch.stack([g.flatten(), area_resize(prob, g).flatten()]) for g in out.gates]
    return torch.stack([torch.corrcoef(pair)[0, 1].nan_to_num() for pair in pairs]).mean()
