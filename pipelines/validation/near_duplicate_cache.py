"""What an earlier search for likeness found out, by content: only what is new costs time."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hgmnet.data.images import Grey
from hgmnet.splitting import alignment, features
from hgmnet.splitting.alignment import Alignment
from hgmnet.splitting.features import Features
from hgmnet.splitting.near_duplicates import Tried

_TRIED = "tried.npz"
_DAMAGED = (OSError, ValueError, KeyError, zipfile.BadZipFile)


class LikenessCache:
    """Features by an image's pixels, and which of them were laid on which others.

    What was made by other code, or by another OpenCV, is not found again, and goes.
    """

    def __init__(self, folder: Path) -> None:
        """Keep things in this folder, made if absent; it may be removed at any time."""
        self._all = folder
        self.folder = folder / _version()

    def describe(self, images: Mapping[str, Callable[[], Grey]]) -> dict[str, Features]:
        """The features of each image, several at once; those of other images go.

        Args:
            images: how to read an image's grey pixels (H, W) uint8, by the hash of its pixels.
        """
        self._make_room(images)
        with ThreadPoolExecutor(min(8, cpu_count() or 1)) as pool:
            found = pool.map(self._features, images.keys(), images.values())
            return dict(zip(images, found, strict=True))

    def tried(self) -> Tried:
        """What the last search tried; nothing where there was none, or its file is damaged."""
        try:
            with (self.folder / _TRIED).open("rb") as whole, np.load(whole) as file:
                rows = zip(*(file[name] for name in _COLUMNS), strict=True)
                return {
                    (str(one), str(other), bool(mirror)): Alignment(matrix, int(points), float(on))
                    if points
                    else None
                    for one, other, mirror, matrix, points, on in rows
                }
        except _DAMAGED:
            return {}

    def keep(self, tried: Tried) -> None:
        """Remember what a search tried."""
        nothing = Alignment(np.zeros((2, 3)), 0, 0.0)
        found = [one or nothing for one in tried.values()]
        columns: tuple[list[Any], ...] = (
            [one for one, _, _ in tried],
            [other for _, other, _ in tried],
            [mirror for _, _, mirror in tried],
            [one.matrix for one in found],
            [one.points for one in found],
            [one.agreement for one in found],
        )
        self._save(_TRIED, dict(zip(_COLUMNS, columns, strict=True)))

    def _features(self, pixels: str, read: Callable[[], Grey]) -> Features:
        try:
            with (self.folder / f"{pixels}.npz").open("rb") as whole, np.load(whole) as file:
                parts = {name: file[name] for name in _FIELDS}
            scale, key = float(parts.pop("scale")), str(parts.pop("key"))
            return Features(scale=scale, key=key, **parts)
        except _DAMAGED:
            found = features.describe(read())
            self._save(f"{pixels}.npz", {name: getattr(found, name) for name in _FIELDS})
            return found

    def _make_room(self, images: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in {*self._all.iterdir()} - {self.folder}:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.iterdir():
            if path.stem not in images and path.name != _TRIED:
                path.unlink(missing_ok=True)

    def _save(self, name: str, parts: Mapping[str, Any]) -> None:
        part = self.folder / f"{name}.part"
        with part.open("wb") as file:
            np.savez(file, **parts)
        part.replace(self.folder / name)


_FIELDS = tuple(Features.__dataclass_fields__)
_COLUMNS = ("first", "second", "mirrored", "matrix", "points", "agreement")


def _version() -> str:
    code = [Path(str(module.__file__)).read_bytes() for module in (features, alignment)]
    return hashlib.sha256(b"".join([cv2.__version__.encode(), *code])).hexdigest()[:16]
