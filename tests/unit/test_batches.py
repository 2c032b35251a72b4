import subprocess
import sys

import numpy as np
import pytest
import torch
from small_store import CLASSES, SIZE, small_store

from hgmnet.data.prepared import class_indices
from hgmnet.training.batches import Batches, InMemorySource, StreamingSource, build_feed, draw_rows

CPU = torch.device("cpu")
MANY = """
import sys
from pathlib import Path
import numpy as np, torch
from numpy.lib.format import open_memmap
from hgmnet.data.prepared import PreparedDataset
from hgmnet.training.batches import Batches, StreamingSource

def peak():
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's
    return int(status.split("VmHWM:")[1].split()[0]) / 1024  # MiB

class Rows(PreparedDataset):
    def rows(self, split):
        return np.arange(len(self.images) if split == "train" else 0)

folder, count, side = Path(sys.argv[1]), 6000, 256
arrays = [open_memmap(folder / n, "w+", np.uint8, (count, side, side)) for n in "im"]
labels = torch.zeros(count, dtype=torch.int64)
feed = StreamingSource(Rows(*arrays, ()), labels, workers=2)
feed.to(torch.device("cpu"))
plan = torch.randperm(count).split(16)
next(iter(Batches(feed, plan)))
before = peak()
seen = sum(len(batch.images) for batch in Batches(feed, plan))
streamed = peak() - before
arrays[0][:].sum()
print(seen, streamed, peak() - before)
"""


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path)


@pytest.fixture
def labels(store):
    return torch.from_numpy(class_indices([e.label for e in store.entries], CLASSES))


def feeds(store, labels):
    both = InMemorySource(store, labels), StreamingSource(store, labels, workers=2)
    for feed in both:
        feed.to(CPU)
    return both


def test_a_batch_is_the_rows_that_were_asked_for_wherever_they_live(store, labels):
    rows = torch.from_numpy(store.rows("train"))
    plan = [rows[[5, 0, 3]], rows[[1]], rows[[2, 2]]]
    for feed in feeds(store, labels):
        batches = list(Batches(feed, plan))
        assert len(Batches(feed, plan)) == len(batches) == 3
        for batch, wanted in zip(batches, plan, strict=True):
            np.testing.assert_array_equal(batch.images, store.images[wanted.numpy()])
            np.testing.assert_array_equal(batch.masks, store.masks[wanted.numpy()])
            assert [CLASSES[i] for i in batch.labels] == [store.entries[i].label for i in wanted]


def test_batches_can_be_gone_through_again_and_left_early(store, labels):
    plan = torch.from_numpy(store.rows("train")).split(2)
    for feed in feeds(store, labels):
        batches = Batches(feed, plan)
        first = next(iter(batches))
        again = list(batches)
        assert torch.equal(first.images, again[0].images)
        assert len(again) == len(plan)


def test_streaming_reads_no_further_ahead_than_it_has_workers(store, labels, monkeypatch):
    feed, loaded = StreamingSource(store, labels, workers=2), []
    load = feed._load
    monkeypatch.setattr(feed, "_load", lambda rows: loaded.append(len(rows)) or load(rows))
    reading = iter(Batches(feed, torch.from_numpy(store.rows("train")).split(1)))
    next(reading)
    assert len(loaded) <= 3
    reading.close()


def test_images_of_test_are_never_read(store, labels):
    resident, streamed = feeds(store, labels)
    hidden = set(store.rows("test").tolist())
    assert hidden
    assert hidden.isdisjoint(streamed.train.tolist() + streamed.val.tolist())
    assert len(resident.images) == len(store.entries) - len(hidden)


def test_a_set_is_resident_up_to_the_room_there_is(store, labels):
    live = len(store.rows("train")) + len(store.rows("val"))
    size = live * 2 * SIZE * SIZE
    assert isinstance(build_feed(store, labels, room=size, workers=1), InMemorySource)
    assert isinstance(build_feed(store, labels, room=size - 1, workers=1), StreamingSource)


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory as Linux reports it")
def test_a_set_of_any_size_is_streamed_in_bounded_memory(tmp_path):
    """750 MiB, nearly all of it holes; looked at through the store's own mapping it does count."""
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seen, streamed, mapped = map(float, done.stdout.split())
    assert seen == 6000
    assert streamed < 60
    assert mapped > streamed + 100


@pytest.mark.parametrize(("balance", "share"), [(0.5, 1 / (1 + 10**0.5)), (1.0, 1 / 2)])
def test_balanced_drawing_gives_a_rare_class_its_share(store, balance, share):
    feed = InMemorySource(store, torch.zeros(len(store.entries), dtype=torch.int64))
    train = feed.train[:11]
    feed.train = train.repeat(200)
    feed.labels[train[0]] = 2  # one of eleven; no image has class 1
    drawn = draw_rows(feed, balance, torch.Generator().manual_seed(0))
    assert len(drawn) == len(feed.train)
    assert (feed.labels[drawn] == 2).float().mean() == pytest.approx(share, abs=0.05)


def test_without_balance_every_train_image_is_drawn_once(store, labels):
    feed = InMemorySource(store, labels)
    drawn = draw_rows(feed, 0.0, torch.Generator().manual_seed(0))
    assert drawn.tolist() != feed.train.tolist()
    assert sorted(drawn.tolist()) == feed.train.tolist()
