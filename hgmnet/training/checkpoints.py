"""Checkpoints on disk: written atomically and verified by their hash; the one before is kept.

A file consists of a line with its type, the SHA-256 of the content, and torch's content.
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
    """Lightning plugin that writes and reads checkpoints.

    A failed write does not raise at once: only the first process writes, and the others would wait
    for it forever. The error is kept in `failure` until all processes know of it.
    """

    def __init__(self) -> None:
        """Start without a failure."""
        self.failure: CheckpointError | None = None

    def save_checkpoint(
        self,
        checkpoint: Mapping[str, Any],
        path: Any,
        storage_options: object = None,  # noqa: ARG002
    ) -> None:
        """Write a checkpoint; keep the last one as the one before."""
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
        """Read a checkpoint of `newest`; its tensors are on the CPU."""
        content = io.BytesIO(Path(path).read_bytes()[len(_MAGIC) + _HASH :])
        found: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """Return the path of the last intact checkpoint in a folder, or None.

    A damaged one is reported on stderr and deleted, so that it is never kept as the one before.
    """
    for path in (folder / LAST, folder / PREVIOUS):
        if mark(path):
            return path
        if path.exists():
            _drop(path)
    return None


def mark(path: Path) -> str:
    """Return the SHA-256 (hex) of a checkpoint's content; empty if the file is absent or damaged.

    Raises:
        PermissionError: the file is not readable by this user.
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
    """Write a checkpoint so that a kill or a power cut leaves this one or the last one intact.

    The one before is deleted first, so that at most two are on the disk at any time.

    Args:
        path: path of the last checkpoint; an existing file is intact, and becomes the one before.
        content: bytes of the checkpoint.

    Raises:
        OSError: writing failed, as on a full disk; the last checkpoint is unchanged.
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
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    if is_first():
        print(
            f"hgmnet: {path} was damaged and is deleted; training goes on from the one before, "
            "or afresh",
            file=sys.stderr,
        )
