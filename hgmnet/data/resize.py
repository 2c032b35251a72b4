"""Resample images of any size to the network's square input, and maps back to the image."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hgmnet.config.data import Prepare

T = TypeVar("T", bound=np.generic)
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Prob = NDArray[np.float32]


def resize_to_input(image: Grey, prepare: Prepare) -> Grey:
    """Resample a grey image (H, W) to (S, S); bilinear, by area when it shrinks."""
    height, width = content_size(image.shape[0], image.shape[1], prepare)
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return _pad(np.asarray(small), prepare)


def fit_mask(mask: Mask, prepare: Prepare) -> Mask:
    """Resample a mask (H, W) to (S, S) by area, thresholded at 0.5."""
    height, width = content_size(mask.shape[0], mask.shape[1], prepare)
    share = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return _pad(np.asarray(share) >= 0.5, prepare)


def resize_to_original(prob: Prob, height: int, width: int, prepare: Prepare) -> Prob:
    """Resample a probability map (S, S) to the image's original size, (height, width)."""
    rows, columns = content_size(height, width, prepare)
    top, left = _margins(rows, columns, prepare)
    inner = np.ascontiguousarray(prob[top : top + rows, left : left + columns])
    return np.asarray(Image.fromarray(inner).resize((width, height), Image.Resampling.BILINEAR))


def content_size(height: int, width: int, prepare: Prepare) -> tuple[int, int]:
    """Height and width, in px, of an image inside the square.

    >>> content_size(300, 600, Prepare(side=64, fit="letterbox"))
    (32, 64)
    """
    if prepare.fit == "stretch":
        return prepare.side, prepare.side
    scale = prepare.side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _margins(rows: int, columns: int, prepare: Prepare) -> tuple[int, int]:
    return (prepare.side - rows) // 2, (prepare.side - columns) // 2


def _pad(inner: NDArray[T], prepare: Prepare) -> NDArray[T]:
    rows, columns = inner.shape
    top, left = _margins(rows, columns, prepare)
    square = np.zeros((prepare.side, prepare.side), dtype=inner.dtype)
    square[top : top + rows, left : left + columns] = inner
    return square
