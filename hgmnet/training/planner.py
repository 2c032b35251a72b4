"""Propose edge length, batch size, epochs and precision for this machine, from measured steps.

Like nnU-Net (Isensee et al., Nature Methods 18, 2021), it derives settings from properties of data
and machine by fixed rules, each with its reason.
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

SIDES = (64, 512)
"""Smallest and largest proposed edge length, px."""

EPOCHS = (20, 40, 100)
"""Minimum for a training, number that an edge length must leave time for, and maximum."""

BATCHES = (16, 8, 4)
_STRETCH = 1.25  # of the median width to height; beyond it shapes suffer
_ROOM = 0.8  # of the memory
_EVALUATION = 1.1  # an epoch's validation, beside its steps

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Machine:
    """Machine of the training: `gpu`: name or empty; `memory`: GiB, the GPU's if there is one."""

    cores: int
    memory: float
    gpu: str
    bf16: bool


@dataclass(frozen=True)
class Cost:
    """Measured cost of a training step: seconds per image, and peak memory, GiB."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class TrainingPlan:
    """Proposed settings; `memory`: GiB; `reasons`: one sentence per setting, by its name."""

    side: int
    fit: Literal["letterbox", "stretch"]
    batch_size: int
    epochs: int
    precision: Precision
    minutes: float
    memory: float
    reasons: dict[str, str]


Measure = Callable[[int, int, Precision], Cost]
"""Measures a step: (edge length in px, batch size, precision) -> cost."""


def plan(
    shapes: Sequence[tuple[int, int]],
    machine: Machine,
    measure: Measure,
    *,
    images: int,
    minutes: float,
) -> TrainingPlan:
    """Propose settings.

    Args:
        shapes: height and width of every image of the data set, px.
        machine: the machine to train on.
        measure: function that measures a step there.
        images: number of training images.
        minutes: maximum duration of the training, min.
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
    """Return the largest edge length, px, that images fill and that allows enough epochs."""
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
    """Return the first of BATCHES that fits into memory and gives eight or more steps per epoch."""
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
    rate = f"{1 / cost.seconds:.0f} images a second"
    if fitting >= most:
        return most, f"{rate}; more have not helped"
    if fitting >= fewest:
        return fitting, f"{rate} fill {minutes:g} min"
    needed = ceil(fewest * images * cost.seconds * _EVALUATION / 60)
    return fewest, f"{rate}; fewer are not worth it, though these take {needed} min"


def _fit(shapes: Sequence[tuple[int, int]]) -> tuple[Literal["letterbox", "stretch"], str]:
    ratio = median(max(width / height, height / width) for height, width in shapes)
    if ratio <= _STRETCH:
        return "stretch", f"the sides differ by {ratio:.2f} only"
    return "letterbox", f"the sides differ by {ratio:.2f}"


_STEPS = 3
_GIB = 2**30


def step_cost(
    model: Model, train: Train, classes: int, *, side: int, batch: int, precision: Precision
) -> Cost:
    """Measure a few steps on random images.

    Args:
        model: the network's architecture; its weights are random.
        train: recipe with the loss.
        classes: number of classes.
        side: edge length of the images, px.
        batch: images per step.
        precision: Lightning's name of the precision.

    Returns:
        Median seconds per image, and peak memory in GiB: the GPU's, else this process's.
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
    for _ in range(_STEPS):
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
    return Cost(median(taken) / batch, _peak(device))


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / _GIB
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB
