"""Sources of training batches: the device's memory, or the disk if the images don't fit there.

Both give the same batches for the same rows, so a training gives the same weights with either. The
augmentation is applied later, on the device.
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
    """A batch of prepared images, as stored.

    `images`: (B, S, S) uint8. `masks`: (B, S, S) uint8 in {0, 1}. `labels`: (B,) int64.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor


class BatchSource(ABC):
    """Source of batches; `train` and `val`: the store's row numbers of each split, on the CPU."""

    def __init__(self, store: PreparedDataset, labels: Tensor) -> None:
        """Store the prepared images and the class index of each row, (N,) int64."""
        self.train, self.val = (torch.from_numpy(store.rows(split)) for split in ("train", "val"))
        self.labels = labels

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Set the device of the training, before the first batch."""

    @abstractmethod
    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield one batch per tensor of row numbers, in order, without synchronising the device."""

    def batches(self, plan: Sequence[Tensor]) -> "Batches":
        """Return a loader for Lightning: one batch per tensor of row numbers, in order."""
        return Batches(self, plan)


class Batches:
    """Batches of an epoch, or a process's part of them; can be iterated repeatedly."""

    def __init__(self, feed: BatchSource, plan: Sequence[Tensor]) -> None:
        """Store the source, and the row numbers of each batch, (B,) int64."""
        self.feed, self.plan = feed, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        return self.feed.read(self.plan)


class InMemorySource(BatchSource):
    """Source with all images of train and val on the device."""

    def __init__(self, store: PreparedDataset, labels: Tensor) -> None:
        """Read the images of train and val."""
        super().__init__(store, labels)
        live = torch.cat([self.train, self.val]).sort().values
        images, masks = store.read(live.numpy())
        self.images, self.masks = torch.from_numpy(images), torch.from_numpy(masks)
        self.place = torch.full_like(labels, -1)
        self.place[live] = torch.arange(len(live))

    def to(self, device: torch.device) -> None:
        """Move everything but `train` and `val` there."""
        self.images, self.masks = self.images.to(device), self.masks.to(device)
        self.labels, self.place = self.labels.to(device), self.place.to(device)

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches; row numbers are copied to the device once."""
        rows = torch.cat([*plan]).to(self.images.device)
        for part in torch.split(rows, [len(batch) for batch in plan]):
            where = self.place[part]
            yield Batch(self.images[where], self.masks[where], self.labels[part])


class StreamingSource(BatchSource):
    """Source with images on the disk; threads read the next batches while the device computes.

    Threads, not processes: copying bytes does not hold the interpreter's lock, and a process would
    need some hundred MiB. At most `workers` + 1 batches are in memory.
    """

    def __init__(self, store: PreparedDataset, labels: Tensor, workers: int) -> None:
        """Store the prepared images; nothing is read yet."""
        super().__init__(store, labels)
        self.store, self.workers, self.pin = store, workers, False

    def to(self, device: torch.device) -> None:
        """Set the device; for a GPU, batches are in pinned memory for asynchronous copies."""
        self.pin = device.type == "cuda"

    def read(self, plan: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches, reading `workers` batches ahead."""
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


def build_feed(store: PreparedDataset, labels: Tensor, *, room: int, workers: int) -> BatchSource:
    """Return a source on the device if train and val need at most `room`, else one on the disk.

    Args:
        store: the prepared images.
        labels: class index of each of its rows, (N,) int64.
        room: maximum size on the device, bytes.
        workers: number of reading threads, for a source on the disk.
    """
    live = len(store.rows("train")) + len(store.rows("val"))
    if live * store.row_bytes <= room:
        return InMemorySource(store, labels)
    return StreamingSource(store, labels, workers)
