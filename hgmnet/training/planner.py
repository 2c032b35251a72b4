"""Training plan for this machine: image size, batch size, epochs and precision, as measured.

As in nnU-Net (Isensee et al., Nature Methods 18, 2021): fixed rules on properties of the data and
the machine, each with its reason.
"""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Literal

import torch

from hgmnet.config.model import Model
from hgmnet.config.training import Train
from hgmnet.models.device import best_device
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.image_size import STRIDE
from hgmnet.training.losses import joint_loss

SIDES = (64, 512)  # px: the smallest and the largest image size proposed
EPOCHS = (20, 40, 100)  # the minimum, the number that an image size must allow, the maximum
BATCHES = (16, 8, 4)
_STRETCH = 1.25  # of the median aspect ratio; beyond it shapes are distorted
_ROOM = 0.8  # fraction of the memory to use
_EVALUATION = 1.1  # factor for an epoch's validation, in addition to its steps

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Machine:
    """Training hardware: `gpu`: name or empty; memory in GiB (the GPU's if any)."""

    cores: int
    memory: float
    gpu: str
    bf16: bool


@dataclass(frozen=True)
class Cost:
    """Measured cost of a training step: seconds per image, and peak memory in GiB."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class TrainingPlan:
    """Proposed settings; `reasons`: one sentence per setting, by its name."""

    side: int
    fit: Literal["letterbox", "stretch"]
    batch_size: int
    epochs: int
    precision: Precision
    minutes: float
    memory: float
    reasons: dict[str, str]


Measure = Callable[[int, int, Precision], Cost]
"""The cost of a step: (edge length in px, batch size, precision) -> cost."""


def plan(
    shapes: Sequence[tuple[int, int]],
    machine: Machine,
    measure: Measure,
    *,
    images: int,
    minutes: float,
) -> TrainingPlan:
    """Propose settings for a training on `machine` within `minutes`; `measure` runs a step.

    `shapes`: height and width of every image of the data set, px. `images`: number of train images.
    """
    precision, why_precision = _precision(machine)
    side, why_side = _side(shapes, measure, precision, images, minutes)
    batch, cost, why_batch = _batch(machine, measure, side, precision, images)
    epochs, why_epochs = _epochs(cost, images, minutes)
    fit, why_fit = _fit(shapes)
    return TrainingPlan(
        side=side,
        fit=fit,
        batch_size=batch,
        epochs=epochs,
        precision=precision,
        minutes=epochs * images * cost.seconds * _EVALUATION / 60,
        memory=cost.memory,
        reasons={
            "side": why_side,
            "fit": why_fit,
            "batch_size": why_batch,
            "epochs": why_epochs,
            "precision": why_precision,
        },
    )


def _precision(machine: Machine) -> tuple[Precision, str]:
    if not machine.gpu:
        return "32-true", "on a CPU nothing is faster"
    if machine.bf16:
        return "bf16-mixed", f"{machine.gpu} computes in bfloat16"
    return "16-mixed", f"{machine.gpu} has no bfloat16"


def _side(
    shapes: Sequence[tuple[int, int]],
    measure: Measure,
    precision: Precision,
    images: int,
    minutes: float,
) -> tuple[int, str]:
    """Return the largest size that the images fill and that allows enough epochs, and why."""
    smallest, largest = SIDES
    shown = median(min(shape) for shape in shapes)
    top = max(smallest, min(largest, int(shown) // STRIDE * STRIDE))
    known = measure(smallest, BATCHES[-1], precision).seconds
    for side in range(top, smallest, -STRIDE):
        reckoned = known * (side / smallest) ** 2 * images * EPOCHS[1] * _EVALUATION / 60
        if reckoned <= minutes:
            limit = "the images are no larger" if side == top else "more takes longer"
            return side, f"{EPOCHS[1]} epochs in {minutes:g} min leave room for it; {limit}"
    return smallest, f"the smallest: larger ones leave no {EPOCHS[1]} epochs in {minutes:g} min"


def _batch(
    machine: Machine, measure: Measure, side: int, precision: Precision, images: int
) -> tuple[int, Cost, str]:
    """Return the first of BATCHES that fits into memory with at least eight steps per epoch."""
    room = machine.memory * _ROOM
    cost = Cost(0.0, 0.0)
    for batch in BATCHES:
        if images < 8 * batch and batch != BATCHES[-1]:
            continue
        cost = measure(side, batch, precision)
        if cost.memory <= room:
            return batch, cost, f"takes {cost.memory:.1f} of {machine.memory:.0f} GiB"
    return BATCHES[-1], cost, f"the smallest, though it takes {cost.memory:.1f} GiB"


def _epochs(cost: Cost, images: int, minutes: float) -> tuple[int, str]:
    fewest, _, most = EPOCHS
    fitting = int(minutes * 60 / (cost.seconds * images * _EVALUATION))
    rate = f"{1 / cost.seconds:.0f} images per second"
    if fitting >= most:
        return most, f"{rate}; more have not helped"
    if fitting >= fewest:
        return fitting, f"{rate} fill {minutes:g} min"
    needed = ceil(fewest * images * cost.seconds * _EVALUATION / 60)
    return fewest, f"{rate}; fewer are not worth it, though these take {needed} min"


def _fit(shapes: Sequence[tuple[int, int]]) -> tuple[Literal["letterbox", "stretch"], str]:
    ratio = median(max(width / height, height / width) for height, width in shapes)
    if ratio <= _STRETCH:
        return "stretch", f"width and height differ by {ratio:.2f} only"
    return "letterbox", f"width and height differ by {ratio:.2f}"


def step_cost(
    model: Model, train: Train, classes: int, *, side: int, batch: int, precision: Precision
) -> Cost:
    """Run a few steps on `batch` random images of `side` px, with random weights.

    Returns:
        Median seconds per image, and the peak memory: the GPU's, else this process's.
    """
    device = torch.device(best_device())
    bare = model.model_copy(update={"encoder_weights": "none"})
    network = HGMNet(bare, classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters())
    image = torch.randn(batch, 1, side, side, device=device)
    mask = (image > 1).float()
    label = torch.randint(classes, (batch,), device=device)
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=precision != "32-true"):
            out = network(image)
        loss = joint_loss(out, mask, label, train.loss, model)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return Cost(median(taken) / batch, peak / 2**30)
