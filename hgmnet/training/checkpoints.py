"""Checkpoints on disk: written whole or not at all, known by their hash, the one before kept.

A file is a line that says what it is, the SHA-256 of the rest, and the rest, as torch writes it.
"""

import hashlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from hgmnet.errors import CheckpointError
from hgmnet.training.distributed import is_first

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
_MAGIC = b"hgmnet checkpoint 1\n"
_HASH = 32  # bytes


class AtomicCheckpointIO(CheckpointIO):
    """How Lightning writes and reads checkpoints here.

    A checkpoint that can't be written is no exception at once: the first process alone writes, and
    the others would wait for it for ever. It stays in `failure` until all have been told.
    """

    def __init__(self) -> None:
        self.failure: CheckpointError | None = None

    def save_checkpoint(
        self,
        checkpoint: Mapping[str, Any],
        path: Any,
        storage_options: object = None,  # noqa: ARG002
    ) -> None:
        """Write a checkpoint over the last one, which becomes the one before."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            write(Path(path), content.getbuffer())
        except OSError as error:
            self.failure = CheckpointError(
                f"no checkpoint of epoch {checkpoint['epoch'] + 1}: {Path(path).parent} takes no "
                f"{content.tell() / 1e6:.0f} MB ({error.strerror}); make room there (folders of "
                "other trainings beside it can go), then run the same command: it goes on from "
                "the last whole epoch"
            )

    def load_checkpoint(
        self,
        path: Any,
        map_location: object = None,  # noqa: ARG002
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Read what `newest` found; tensors come on the CPU."""
        content = io.BytesIO(Path(path).read_bytes()[len(_MAGIC) + _HASH :])
        found: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """The last intact checkpoint in a folder, or None: start afresh.

    A damaged one costs a line on stderr and is deleted, so that it is never kept as the one before.
    """
    for path in (folder / LAST, folder / PREVIOUS):
        if mark(path):
            return path
        if path.exists():
            path.unlink(missing_ok=True)
            if is_first():
                goes_on = "training goes on from the one before, or afresh"
                print(f"hgmnet: {path} was damaged and is deleted; {goes_on}", file=sys.stderr)
    return None


def mark(path: Path) -> str:
    """The hash of a checkpoint's content, hexadecimal; empty if the file is absent or damaged.

    Raises:
        PermissionError: it is somebody else's.
    """
    try:
        content = memoryview(path.read_bytes())
    except PermissionError:
        raise
    except OSError:  # absent, or the disk can't read it any more
        return ""
    head, said = content[: len(_MAGIC)], content[len(_MAGIC) : len(_MAGIC) + _HASH]
    sha256 = hashlib.sha256(content[len(_MAGIC) + _HASH :])
    return sha256.hexdigest() if head == _MAGIC and said == sha256.digest() else ""


def write(path: Path, content: bytes | memoryview) -> None:
    """Write a checkpoint so that a kill or a power cut leaves this one or the last one, whole.

    The one before goes first, so that no more than two lie on the disk at any time. What is at
    `path` is intact, and becomes the one before.

    Raises:
        OSError: the disk is full, say; the last checkpoint is as it was, and nothing else is left.
    """
    part, previous = path.with_suffix(".part"), path.with_name(PREVIOUS)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        previous.unlink(missing_ok=True)
    try:
        with part.open("wb") as file:
            file.write(_MAGIC + hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    if path.exists():
        path.replace(previous)
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
