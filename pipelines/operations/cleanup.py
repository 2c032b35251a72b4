"""List and remove files of a checkout that can be made again.

Nothing that a registered version needs: that is in MLflow and in DVC's cache, for which
`hgmnet clean` only prints advice.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_AGAIN = {
    "versions": "copies of registered models; downloaded again when needed",
    "onnx": "exports; made again when needed",
    "likeness": "cache of the search for copies; made again by the next ingest",
}


@dataclass(frozen=True)
class RemovableItem:
    """A file or folder that may be removed; `size`: bytes; `days`: since its last change."""

    path: Path
    what: str
    size: int
    days: float


def litter(root: Path, *, older_than: float, studies: bool) -> list[RemovableItem]:
    """List the removable items, the largest first.

    `older_than`: least days since the last change. `studies`: include the trainings of studies,
    which take hours to repeat.
    """
    found = [one for one in _candidates(root, studies) if one.days >= older_than]
    return sorted(found, key=lambda one: -one.size)


def remove(one: RemovableItem) -> None:
    """Delete the file or folder."""
    if one.path.is_dir():
        shutil.rmtree(one.path)
    else:
        one.path.unlink(missing_ok=True)


def _candidates(root: Path, studies: bool) -> Iterator[RemovableItem]:
    state = root / ".hgmnet"
    for folder in sorted((state / "checkpoints").glob("*")):
        yield _litter(folder, "checkpoints of an unfinished training")
    for name, what in _AGAIN.items():
        if (state / name).exists():
            yield _litter(state / name, what)
    if studies and (state / "studies").exists():
        yield _litter(state / "studies", "models and rows of studies; trained again when needed")
    for top in ("data", "models", "reports"):
        for part in sorted((root / top).rglob("*.part")):
            yield _litter(part, "partial file of a killed process")


def _litter(path: Path, what: str) -> RemovableItem:
    stats = [file.stat() for file in (path, *path.rglob("*")) if not file.is_symlink()]
    newest = max(stat.st_mtime for stat in stats)
    size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    return RemovableItem(path, what, size, max(0.0, (time.time() - newest) / 86_400))
