"""Cache of the search for near-duplicates, by content: only new images cost time."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import cv2
import joblib

from hgmnet.data.images import Grey
from hgmnet.data.progress import progress
from hgmnet.splitting import alignment, features
from hgmnet.splitting.features import Features
from hgmnet.splitting.near_duplicates import Tried

_TRIED = "tried"


class LikenessCache:
    """Features by pixel hash, and the pairs of images that were aligned.

    The results of other code or another OpenCV version are removed.
    """

    def __init__(self, folder: Path) -> None:
        """Keep results in this folder, created if missing; it may be removed at any time."""
        self._all = folder
        code = [Path(str(module.__file__)).read_bytes() for module in (features, alignment)]
        version = hashlib.sha256(b"".join([cv2.__version__.encode(), *code])).hexdigest()[:16]
        self.folder = folder / version

    def describe(self, images: Mapping[str, Callable[[], Grey]]) -> dict[str, Features]:
        """Compute or load the features of each image; those of other images are removed.

        `images`: by pixel hash, a function that reads the image: grey (H, W) uint8.
        """
        self._make_room(images)
        with ThreadPoolExecutor(min(8, cpu_count() or 1)) as pool:
            found = pool.map(self._features, images.keys(), images.values())
            shown = progress(found, "describing images", len(images))
            return dict(zip(images, shown, strict=True))

    def tried(self) -> Tried:
        """Load what the last search tried; empty if there was none, or its file is damaged."""
        return self._load(_TRIED) or {}

    def keep(self, tried: Tried) -> None:
        """Save what a search tried."""
        self._save(_TRIED, tried)

    def _features(self, pixels: str, read: Callable[[], Grey]) -> Features:
        found: Features | None = self._load(pixels)
        if found is None:
            found = features.describe(read())
            self._save(pixels, found)
        return found

    def _make_room(self, images: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in {*self._all.iterdir()} - {self.folder}:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.iterdir():
            if path.name not in {*images, _TRIED}:
                path.unlink(missing_ok=True)

    def _load(self, name: str) -> Any:
        """Read one result; None on any exception: the file is missing or damaged."""
        try:
            return joblib.load(self.folder / name)
        except Exception:
            return None

    def _save(self, name: str, value: Any) -> None:
        part = self.folder / f"{name}.part"
        joblib.dump(value, part)
        part.replace(self.folder / name)
