"""Checkpoints: written atomically, verified by their hash, with the previous one kept.

A file is a line with its format, the SHA-256 of the rest, and the rest, as torch writes it.
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
    """Lightning's reading and writing of checkpoints.

    A failed write raises no exception at once: only the first process writes, and the others would
    wait for it for ever. It is kept in `failure` until all processes know it.
    """

    def __init__(self) -> None:
        self.failure: CheckpointError | None = None

    def save_checkpoint(
        self,
        checkpoint: Mapping[str, Any],
        path: Any,
        storage_options: object = None,  # noqa: ARG002
    ) -> None:
        """Write a checkpoint; the last one is kept as the previous one."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            write(Path(path), content.getbuffer())
        except OSError as error:
            self.failure = CheckpointError(
                f"could not write the checkpoint of epoch {checkpoint['epoch'] + 1}: "
                f"{Path(path).parent} did not accept {content.tell() / 1e6:.0f} MB "
                f"({error.strerror}); free space there (delete folders of other trainings), then "
                "run the same command: it resumes from the last complete epoch"
            )

    def load_checkpoint(
        self,
        path: Any,
        map_location: object = None,  # noqa: ARG002
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Load the checkpoint found by `newest`, its tensors on the CPU."""
        content = io.BytesIO(Path(path).read_bytes()[len(_MAGIC) + _HASH :])
        found: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """Return the last intact checkpoint in a folder, or None.

    A damaged one is reported on stderr and deleted, so that it is never kept as the previous one.
    """
    for path in (folder / LAST, folder / PREVIOUS):
        if mark(path):
            return path
        if path.exists():
            path.unlink(missing_ok=True)
            if is_first():
                goes_on = "training resumes from the previous one, or restarts"
                print(f"hgmnet: {path} was damaged and is deleted; {goes_on}", file=sys.stderr)
    return None


def mark(path: Path) -> str:
    """Hash of a checkpoint, empty if missing or damaged; PermissionError: of another user."""
    try:
        content = memoryview(path.read_bytes())
    except PermissionError:
        raise
    except OSError:  # missing, or unreadable on the disk
        return ""
    head, said = content[: len(_MAGIC)], content[len(_MAGIC) : len(_MAGIC) + _HASH]
    sha256 = hashlib.sha256(content[len(_MAGIC) + _HASH :])
    return sha256.hexdigest() if head == _MAGIC and said == sha256.digest() else ""


def write(path: Path, content: bytes | memoryview) -> None:
    """Write a checkpoint; a kill or a power cut leaves the new one or the current one intact.

    The backup is deleted first, so that at most two checkpoints are on the disk. The current one,
    at `path`, then becomes the backup.

    Raises:
        OSError: such as a full disk; the current checkpoint stays, and no other file is left.
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
