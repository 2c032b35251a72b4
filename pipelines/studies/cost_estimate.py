"""Estimate a study's cost on this machine, measured beforehand and updated as it runs."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic

import numpy as np

from hgmnet.config.params import Params
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedImage
from hgmnet.data.progress import left, span
from hgmnet.evaluation.per_image import image_row
from hgmnet.inference.postprocess import postprocess
from hgmnet.inference.tta import forward_tta
from hgmnet.models.device import best_device
from hgmnet.models.encoders import grey_levels
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import FORMAT, Operating, Seen, Spec
from hgmnet.splitting.cross_validation import JUDGED
from hgmnet.training.planner import step_cost
from pipelines.studies.definition import StudyContext, StudyRun
from pipelines.studies.training_run import fitted, judged

_IMAGES = 8  # predicted and counted for the time per image
_START_S = 1.5  # to build a network and start Lightning
_CHECKPOINT = 4  # copies of the weights: weights, their average, the optimiser's two
_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True)
class Rates:
    """Measured cost: `step`, `predict`, `count` in s per image, `save` in s per checkpoint.

    `memory`: peak, GiB. `weights`: size of a model folder, bytes.
    """

    step: float
    predict: float
    count: float
    save: float
    memory: float
    weights: int

    def seconds(self, cell: StudyRun, *, train: bool) -> float:
        """Estimated duration of a run, s; `train`: its model is still to be trained."""
        settings = cell.params.train
        looked = cell.count(JUDGED) * (2 * settings.members * self.predict + self.count)
        if not train:
            return looked
        val = cell.count("val") * self.predict
        epoch = cell.count("train") * self.step + val + self.save
        one = _START_S + settings.epochs * epoch + 2 * val
        return settings.members * one + looked


@dataclass(frozen=True)
class Forecast:
    """Cost of the remaining runs: `seconds` per run, 0 for a finished one; memory, disk in GiB."""

    seconds: tuple[float, ...]
    trainings: int
    finished: int
    memory: float
    disk: float

    @property
    def total(self) -> float:
        """Duration of all runs, s."""
        return sum(self.seconds)


def forecast(bench: StudyContext, cells: Sequence[StudyRun], *, keep: bool) -> Forecast:
    """Measure each kind of network that the remaining runs need, and estimate their cost.

    `keep`: whether model folders are kept.
    """
    rates: dict[str, Rates] = {}
    seconds, begun, disk = [], set[Path](), 0
    done = [judged(bench, cell) for cell in cells]
    for cell, there in zip(cells, done, strict=True):
        folder = bench.model_folder(cell)
        train = not fitted(bench, cell) and folder not in begun
        if there:
            seconds.append(0.0)
            continue
        kind = f"{cell.params.model.model_dump_json()} {cell.params.train.batch_size}"
        rates[kind] = known = rates.get(kind) or _rates(bench, cell.params)
        seconds.append(known.seconds(cell, train=train))
        disk += cell.params.train.members * known.weights if train and (keep or not begun) else 0
        begun |= {folder} if train else set()
    memory = max((known.memory for known in rates.values()), default=0.0)
    stored = bench.store.row_bytes * len(bench.store.entries) / _GIB if rates else 0.0
    return Forecast(tuple(seconds), len(begun), sum(done), memory + stored, disk / _GIB)


def _rates(bench: StudyContext, params: Params) -> Rates:
    model, train, side = params.model, params.train, params.prepare.side
    count = len(params.data.classes)
    batch, precision = train.batch_size, train.precision
    step = step_cost(model, train, count, side=side, batch=batch, precision=precision)
    bare = model.model_copy(update={"encoder_weights": "none"})
    network = HGMNet(bare, count).eval()
    size = 4 * sum(parameter.numel() for parameter in network.parameters())
    predict, counting = _look(bench, network, params)
    return Rates(
        step=step.seconds,
        predict=predict,
        count=counting,
        save=_CHECKPOINT * size / _written(bench.home),
        memory=step.memory,
        weights=size,
    )


def _look(bench: StudyContext, network: HGMNet, params: Params) -> tuple[float, float]:
    """Seconds per image to predict, and to count pixels at native size."""
    rows = np.linspace(0, len(bench.store.entries) - 1, _IMAGES).astype(int)
    network.to(best_device())
    spec, squares = untrained_spec(params), bench.store.images[rows]
    forward_tta(network, spec, squares[:1], mirror=False)
    start = time.perf_counter()
    raw = forward_tta(network, spec, squares, mirror=False)
    seen = time.perf_counter()
    for i, row in enumerate(rows):
        entry: PreparedImage = bench.store.entries[row]
        finding = postprocess(raw, i, (entry.height, entry.width), spec, _PLAIN)
        image_row(entry, finding, read_truth(bench.workspace.raw, entry), params.model)
    return (seen - start) / len(rows), (time.perf_counter() - seen) / len(rows)


def _written(folder: Path) -> float:
    """Measure the disk's write speed, bytes/s."""
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder) as file:
        content, start = os.urandom(16 * _MIB), time.perf_counter()
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return len(content) / (time.perf_counter() - start)


_PLAIN = Operating(
    temperature=1.0,
    mask_threshold=0.5,
    min_area=0.0,
    malignant_threshold=1.0,
    normal_means_no_mask=False,
    mirror=False,
)


def untrained_spec(params: Params) -> Spec:
    """Return the spec of an untrained model with these settings."""
    mean, std = grey_levels(params.model)
    return Spec(
        format=FORMAT,
        model=params.model,
        prepare=params.prepare,
        classes=params.data.classes,
        mean=mean,
        std=std,
        data=params.data.name,
        seed=0,
        fingerprint="",
        parent=None,
        seen=Seen(train=(), val=(), groups=(), parent=()),
    )


class Progress:
    """Compares the duration of a study's runs with the forecast."""

    def __init__(self, expected: Sequence[float], now: Callable[[], float] = monotonic) -> None:
        """Store the expected duration of each run, s; 0 for a finished one."""
        self._expected, self._now = list(expected), now
        self._taken = self._reckoned = 0.0
        self._index = 0
        self._began = now()

    def start(self, index: int) -> None:
        """Start the clock of a run."""
        self._index, self._began = index, self._now()

    def after_epoch(self, epoch: int, epochs: int) -> str:
        """Format the remaining time, estimated from this run's epochs so far."""
        share = epoch / epochs
        taken = self._taken + self._now() - self._began
        reckoned = self._reckoned + share * self._expected[self._index]
        return self._left(taken, reckoned)

    def after_cell(self) -> str:
        """Format the run's duration and the remaining time."""
        took = self._now() - self._began
        self._taken += took
        self._reckoned += self._expected[self._index]
        return f"{span(took)}; {self._left(self._taken, self._reckoned)}"

    def _left(self, taken: float, reckoned: float) -> str:
        pace = taken / reckoned if reckoned else 1.0
        return left(pace * max(sum(self._expected) - reckoned, 0.0))
