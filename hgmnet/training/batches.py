"""Sources of training batches: the device's memory, or the disk if the images don't fit there.

Both give the same batches for the same rows, so the weights do not depend on the source. The
augmentation happens later, on the device.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hgmnet.data.prepared import PreparedDataset


class Batch(NamedTuple):
    """Prepared images, as stored.

    `images`: (B, S, S) uint8. `masks`: (B, S, S) uint8 in {0, 1}. `labels`: (B,) int64.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor


class BatchSource(ABC):
    """Base class of batch sources; `train`, `val`: row numbers, (n,) int64, on the CPU."""

    def __init__(self, store: PreparedDataset, labels: Tensor) -> None:
        """Take a store and the class index of each of its rows, (N,) int64."""
        self.train, self.val = (torch.from_numpy(store.rows(split)) for split in ("train", "val"))
        self.labels = labels

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Set the training's device, before the first batch."""

    @abstractmethod
    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield a batch for each tensor of rows, in order; the device never waits for one."""


class Batches:
    """Loader for Lightning: yields a batch for each tensor of rows, (B,) int64, in order."""

    def __init__(self, feed: BatchSource, plan: Sequence[Tensor]) -> None:
        self.feed, self.plan = feed, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        return self.feed.read(self.plan)


class InMemorySource(BatchSource):
    """Source with all train and val images on the device."""

    def __init__(self, store: PreparedDataset, labels: Tensor) -> None:
        super().__init__(store, labels)
        live = torch.cat([self.train, self.val]).sort().values
        images, masks = store.read(live.numpy())
        self.images, self.masks = torch.from_numpy(images), torch.from_numpy(masks)
        self.place = torch.full_like(labels, -1)
        self.place[live] = torch.arange(len(live))

    def to(self, device: torch.device) -> None:
        """Move the images, masks and labels to `device`; `train` and `val` stay."""
        self.images, self.masks = self.images.to(device), self.masks.to(device)
        self.labels, self.place = self.labels.to(device), self.place.to(device)

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield batches; row numbers are copied to the device once, not per batch."""
        rows = torch.cat([*plan]).to(self.images.device)
        for part in torch.split(rows, [len(batch) for batch in plan]):
            where = self.place[part]
            yield Batch(self.images[where], self.masks[where], self.labels[part])


class StreamingSource(BatchSource):
    """Source on the disk: threads read the next batches while the device computes.

    Threads, not processes: they only copy bytes, which needs no interpreter, and a process would
    cost some hundred MiB. At most `workers` + 1 batches are in memory.
    """

    def __init__(self, store: PreparedDataset, labels: Tensor, workers: int) -> None:
        super().__init__(store, labels)
        self.store, self.workers, self.pin = store, workers, False

    def to(self, device: torch.device) -> None:
        """Set the device; for a GPU, batches are pinned: their copy overlaps with its work."""
        self.pin = device.type == "cuda"

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield batches, reading as many ahead as there are workers."""
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for rows in plan:
                ahead.append(pool.submit(self._load, rows))
                if len(ahead) > self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _load(self, rows: Tensor) -> Batch:
        images, masks = self.store.read(np.asarray(rows))
        batch = Batch(torch.from_numpy(images), torch.from_numpy(masks), self.labels[rows])
        return Batch(*(part.pin_memory() for part in batch)) if self.pin else batch


def draw_rows(feed: BatchSource, balance: float, generator: torch.Generator) -> Tensor:
    """Draw the train rows of an epoch, (n,) int64, from a CPU generator.

    `balance`: 0 draws each row once. Otherwise rows are drawn with replacement, each with the
    weight m ** -balance, where m is the number of train images of its class.
    """
    count = len(feed.train)
    if not balance:
        return feed.train[torch.randperm(count, generator=generator)]
    labels = feed.labels.cpu()[feed.train]
    weights = labels.bincount().float().pow(-balance)[labels]
    return feed.train[torch.multinomial(weights, count, replacement=True, generator=generator)]


def build_feed(store: PreparedDataset, labels: Tensor, *, room: int, workers: int) -> BatchSource:
    """Build an in-memory source if train and val need at most `room` bytes, else a streaming one.

    `labels`: class index of each row of the store, (N,) int64. `workers`: threads for streaming.
    """
    live = len(store.rows("train")) + len(store.rows("val"))
    if live * store.row_bytes <= room:
        return InMemorySource(store, labels)
    return StreamingSource(store, labels, workers)
