"""The true mask of an image: the union of its mask files, at its original size.

Al-Dhabyani et al., "Dataset of breast ultrasound images", Data in Brief 28, 2020.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hgmnet.data import images
from hgmnet.data.prepared import PreparedImage
from hgmnet.data.resize import Mask
from hgmnet.errors import InvalidDataError


def read_mask(paths: Sequence[Path]) -> Mask:
    """Unite an image's masks, at least one: (H, W) bool, true where one is brighter than 127.

    Raises:
        InvalidDataError: a mask is missing, does not decode, holds 0 and 1, or their sizes differ.
    """
    first, *others = (_read(path) for path in paths)
    for path, mask in zip(paths[1:], others, strict=True):
        if mask.shape != first.shape:
            size, other = (f"{one.shape[1]} × {one.shape[0]}" for one in (mask, first))
            sizes = f"{size}, {paths[0].name} {other}"
            raise InvalidDataError(f"{path} is {sizes}; the masks of an image must have its size")
    return np.asarray(np.logical_or.reduce([first, *others]))


def _read(path: Path) -> Mask:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        msg = f"{path} is missing; restore it (`dvc checkout`) or make the manifest again"
        raise InvalidDataError(msg) from None
    grey = images.decode_mask(data, str(path))
    if grey.max(initial=0) == 1:
        raise InvalidDataError(f"{path} holds 0 and 1; expected 0 and 255; multiply it by 255")
    return grey > 127


def read_truth(raw: Path, entry: PreparedImage) -> Mask:
    """Unite an entry's masks below raw/, (H, W) bool; all false if it has none.

    Raises:
        InvalidDataError: a mask is missing, does not decode, or their sizes differ.
    """
    if not entry.masks:
        return np.zeros((entry.height, entry.width), dtype=np.bool_)
    return read_mask([raw / name for name in entry.masks.split("|")])
