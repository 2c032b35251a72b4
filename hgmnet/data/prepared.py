"""The prepared data set: memory-mapped arrays, and an index of their rows."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from hgmnet.config.base import Frozen
from hgmnet.data.atomic import write_table
from hgmnet.data.resize import Grey, Mask
from hgmnet.errors import InvalidDataError

IMAGES, MASKS, INDEX = "images.npy", "masks.npy", "index.csv"


class PreparedImage(Frozen):
    """One active image: path below raw/, class, group, split, size. `masks` are joined by `|`."""

    image: str
    masks: str
    pixel_sha256: str
    label: str
    group: str
    split: str
    height: int
    width: int


@dataclass(frozen=True)
class PreparedDataset:
    """Prepared images, masks and their index; row i of each is the same image.

    `images`: (N, S, S) uint8. `masks`: (N, S, S) uint8 in {0, 1}. Both memory-mapped, read-only.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    entries: tuple[PreparedImage, ...]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of train, val or test, in order, (n,) int64."""
        return np.array([i for i, e in enumerate(self.entries) if e.split == split], dtype=np.int64)

    def read(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Copy images and masks, (B, S, S) uint8 each.

        They are read through a mapping that is closed again: pages read from `images` and `masks`
        count as this process's memory until it ends.
        """
        return _mapped_anew(self.images)[rows], _mapped_anew(self.masks)[rows]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image and its mask."""
        return int(self.images[0].nbytes + self.masks[0].nbytes)


def write_store(
    folder: Path,
    entries: tuple[PreparedImage, ...],
    size: int,
    squares: Iterable[tuple[Grey, Mask]],
) -> None:
    """Write a prepared data set row by row, so that at most one image is in memory.

    `squares`: image and mask, (`size`, `size`) each, of every entry, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(entries), size, size)
    images = open_memmap(folder / IMAGES, "w+", np.uint8, shape)
    masks = open_memmap(folder / MASKS, "w+", np.uint8, shape)
    for row, (image, mask) in enumerate(squares):
        images[row], masks[row] = image, mask
    images.flush()
    masks.flush()
    rows = (entry.model_dump() for entry in entries)
    write_table(folder / INDEX, list(PreparedImage.model_fields), rows)


def open_prepared(folder: Path) -> PreparedDataset:
    """Open a prepared data set.

    Raises:
        InvalidDataError: it is missing, its parts do not match, or a group or an image's pixels are
            in two splits.
    """
    try:
        with (folder / INDEX).open(newline="", encoding="utf-8") as file:
            rows = [PreparedImage.model_validate(row, strict=False) for row in csv.DictReader(file)]
        images = np.load(folder / IMAGES, mmap_mode="r")
        masks = np.load(folder / MASKS, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InvalidDataError(
            f"{folder} is not a prepared data set: {error}; remake it: dvc repro prepare"
        ) from None
    if not len(images) == len(masks) == len(rows):
        raise InvalidDataError(f"{folder}: arrays and index differ; remake it: dvc repro prepare")
    assert_disjoint(rows)
    return PreparedDataset(images, masks, tuple(rows))


def _mapped_anew(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(array, np.memmap):
        return array
    where: Any = array  # numpy's types lack np.memmap's filename and offset
    return np.memmap(where.filename, array.dtype, "r", where.offset, array.shape)


def assert_disjoint(entries: Iterable[PreparedImage]) -> None:
    """Check that no group and no pixels are in two splits; InvalidDataError otherwise."""
    seen: dict[str, PreparedImage] = {}
    for entry in entries:
        for key in (f"group {entry.group}", f"pixels {entry.pixel_sha256}"):
            other = seen.setdefault(key, entry)
            if other.split != entry.split:
                raise InvalidDataError(
                    f"{key} leaks: `{other.image}` is in {other.split}, `{entry.image}` in "
                    f'{entry.split}; split again: hgmnet resplit --reason "..."'
                )


Counts = NDArray[np.int64]


def class_indices(labels: Sequence[str], classes: Sequence[str]) -> Counts:
    """Index of each label among the classes, (N,) int64."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)
