"""Checkpoints on real disks: whole or not at all, damaged ones told of, full disks survived."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_store import small_store
from trained import train

from hgmnet.errors import CheckpointError
from hgmnet.training.checkpoints import LAST, PREVIOUS, mark, newest, write
from tests import shared

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


def test_the_last_becomes_the_one_before(tmp_path):
    assert newest(tmp_path) is None
    for content in (b"one", b"two", b"three"):
        write(tmp_path / LAST, content)
    assert {file.name for file in tmp_path.iterdir()} == {LAST, PREVIOUS}
    assert (tmp_path / LAST).read_bytes().endswith(b"three")
    assert (tmp_path / PREVIOUS).read_bytes().endswith(b"two")
    assert newest(tmp_path) == tmp_path / LAST


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_taken(damage, tmp_path, capsys):
    for content in (b"one" * 1000, b"two" * 1000):
        write(tmp_path / LAST, content)
    last = (tmp_path / LAST).read_bytes()
    changed = last[:500] + bytes([last[500] ^ 1]) + last[501:]
    (tmp_path / LAST).write_bytes({"cut": last[:2000], "changed": changed, "emptied": b""}[damage])
    assert newest(tmp_path) == tmp_path / PREVIOUS
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hgmnet: {tmp_path / LAST} was damaged")
    (tmp_path / PREVIOUS).write_bytes(b"nothing")
    assert newest(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_known_by_its_content(tmp_path):
    write(tmp_path / "a.ckpt", b"one")
    write(tmp_path / "b" / "a.ckpt", b"one")
    write(tmp_path / "c" / "a.ckpt", b"two")
    assert mark(tmp_path / "a.ckpt") == mark(tmp_path / "b" / "a.ckpt")
    assert mark(tmp_path / "a.ckpt") != mark(tmp_path / "c" / "a.ckpt")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with shared.small_disk(disk, 4):
        yield disk


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(small_disk):
    write(small_disk / LAST, bytes(2_500_000))
    before = (small_disk / LAST).read_bytes()
    with pytest.raises(OSError, match="No space left"):
        write(small_disk / LAST, bytes(2_500_000))
    assert [file.name for file in small_disk.iterdir()] == [LAST]
    assert (small_disk / LAST).read_bytes() == before
    assert newest(small_disk) == small_disk / LAST


@pytest.mark.slow
def test_a_training_says_in_one_line_that_the_disk_is_full(small_disk, tmp_path):
    """Its first checkpoint, 12 MB, does not fit."""
    with pytest.raises(CheckpointError, match="No space left on device") as raised:
        train(
            small_disk, store=small_store(tmp_path / "store"), model={"encoder": "tu-test_resnet"}
        )
    said = str(raised.value)
    assert said.startswith("could not write the checkpoint of epoch 1: ")
    assert f"{small_disk / 'checkpoints'} did not accept " in said
    assert "free space there" in said
    assert "\n" not in said
    assert list((small_disk / "checkpoints").iterdir()) == []
