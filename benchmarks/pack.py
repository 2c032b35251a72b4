"""A data set in one small folder: prepared arrays and the true masks at native size.

For machines that have neither the raw images nor DVC. `python benchmarks/pack.py <folder>` makes it
from the prepared data set of the checkout's params.yaml.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.params import load_params
from hgmnet.data.masks import read_mask
from hgmnet.data.prepared import PreparedDataset, PreparedImage, open_prepared, write_store
from hgmnet.data.resize import Mask

ARRAYS, TRUTH, STORE = "arrays.npz", "truth.npz", "store"


def main() -> None:
    """Pack the data set that params.yaml names."""
    root, folder = Path.cwd(), Path(sys.argv[1])
    data = root / "data" / load_params(root / "params.yaml").data.name
    store = open_prepared(data / "prepared")
    write_pack(folder, store, data / "raw")
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    print(f"{len(store.entries)} images in {folder}, {size:.1f} MiB")


def write_pack(folder: Path, store: PreparedDataset, raw: Path) -> None:
    """Write arrays.npz (images and masks, (N, S, S) uint8) and truth.npz (bits at native size)."""
    folder.mkdir(parents=True, exist_ok=True)
    index = np.array([entry.model_dump_json() for entry in store.entries])
    masks = np.packbits(store.masks.astype(bool))
    np.savez_compressed(folder / ARRAYS, images=store.images, masks=masks, index=index)
    truth = [np.packbits(mask) for mask in _truths(raw, store.entries)]
    ends = np.cumsum([len(bits) for bits in truth])
    np.savez_compressed(folder / TRUTH, bits=np.concatenate(truth), ends=ends)


def open_pack(folder: Path) -> tuple[PreparedDataset, "Truth"]:
    """The store, unpacked beside the pack once so that it is memory-mapped; and the true masks."""
    with np.load(folder / ARRAYS) as arrays:
        entries = tuple(
            PreparedImage.model_validate_json(text) for text in arrays["index"].tolist()
        )
        if not (folder / STORE / "index.csv").exists():
            images = arrays["images"]
            masks = np.unpackbits(arrays["masks"], count=images.size).reshape(images.shape)
            write_store(folder / STORE, entries, images.shape[-1], zip(images, masks, strict=True))
    with np.load(folder / TRUTH) as truth:
        return open_prepared(folder / STORE), Truth(entries, truth["bits"], truth["ends"])


class Truth:
    """True masks at native size: `truth[entry.image]` is (H, W) bool."""

    def __init__(
        self, entries: tuple[PreparedImage, ...], bits: NDArray[np.uint8], ends: NDArray[np.int64]
    ) -> None:
        """Take the packed bits of every image's mask, one after the other."""
        self.bits = dict(zip((e.image for e in entries), np.split(bits, ends[:-1]), strict=True))
        self.shapes = {entry.image: (entry.height, entry.width) for entry in entries}

    def __getitem__(self, image: str) -> Mask:
        """Unpack one mask."""
        height, width = self.shapes[image]
        flat = np.unpackbits(self.bits[image], count=height * width)
        return flat.reshape(height, width).astype(bool)


def _truths(raw: Path, entries: tuple[PreparedImage, ...]) -> Iterator[Mask]:
    for entry in entries:
        if entry.masks:
            yield read_mask([raw / name for name in entry.masks.split("|")])
        else:
            yield np.zeros((entry.height, entry.width), dtype=bool)


if __name__ == "__main__":
    main()
