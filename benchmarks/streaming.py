"""A set that does not fit: `python benchmarks/streaming.py [--count 100000] [--side 256]`.

Writes a store of so many images (holes, but for a few: a sparse file, in a temporary folder),
trains some steps on it with a small network and a budget of `--gib`, then reads a whole epoch
without the network, and prints the peak of resident memory after each.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import DEVICE, ROOT, entry, head_line, peak_memory
from numpy.lib.format import open_memmap

from hgmnet.config.params import load_params
from hgmnet.data.prepared import PreparedDataset
from hgmnet.models.hgmnet import HGMNet
from hgmnet.training.batches import Batches, StreamingSource, build_feed
from hgmnet.training.fit import build_trainer, quiet_lightning
from hgmnet.training.lightning_module import HGMNetModule
from pipelines.studies.cost_estimate import untrained_spec

DRAWN = 512


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--gib", type=float, default=4.0)
    words = parser.parse_args()
    quiet_lightning()
    print(head_line() + "\n\n| after | seconds | peak memory, GiB |\n|---|---|---|")
    row("start", time.perf_counter())
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store = sparse_store(Path(folder), words.count, words.side)
        labels = torch.arange(words.count) % 3
        feed = build_feed(store, labels, room=int(words.gib * 2**30), workers=4)
        row(f"opening {words.count} images of {words.side} px", start)
        if not isinstance(feed, StreamingSource):
            parser.error(f"{words.count} images fit into {words.gib} GiB: nothing is streamed")
        start = time.perf_counter()
        train(feed, words)
        row(f"{words.steps} training steps", start)
        start = time.perf_counter()
        read = sum(len(batch.labels) for batch in Batches(feed, torch.split(feed.train, 16)))
        row(f"reading {read} images", start)


def sparse_store(folder: Path, count: int, side: int) -> PreparedDataset:
    """The first images are random, the rest holes; one in a thousand is in val."""
    images, masks = (
        open_memmap(folder / f"{name}.npy", "w+", np.uint8, (count, side, side))
        for name in ("images", "masks")
    )
    images[:DRAWN] = np.random.default_rng(0).integers(0, 256, (DRAWN, side, side), dtype=np.uint8)
    masks[:DRAWN, side // 4 : side // 2, side // 4 : side // 2] = 1
    entries = tuple(entry(i, "benign", "val" if i % 1000 == 999 else "train") for i in range(count))
    return PreparedDataset(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "masks.npy", mmap_mode="r"),
        entries,
    )


def train(feed: StreamingSource, words: argparse.Namespace) -> None:
    """Some steps of the quickstart's network."""
    params = load_params(ROOT / "profiles" / "quickstart.yaml")
    prepare = params.prepare.model_copy(update={"side": words.side})
    spec = untrained_spec(params.model_copy(update={"prepare": prepare}))
    feed.to(DEVICE)
    settings = params.train.model_copy(update={"epochs": 1, "batch_size": words.batch})
    trainer = build_trainer(settings)
    trainer.fit_loop.epoch_loop.max_steps = words.steps
    trainer.limit_val_batches = 1
    trainer.fit(HGMNetModule(HGMNet(params.model, 3), spec, settings, feed))


def row(after: str, start: float) -> None:
    """A line of the table."""
    seconds = time.perf_counter() - start
    print(f"| {after} | {seconds:.1f} | {peak_memory() / 2**30:.2f} |", flush=True)


if __name__ == "__main__":
    main()
