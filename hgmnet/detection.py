"""Lesions as things to be found: connected parts of the truth against those of the prediction.

A part of the prediction finds a lesion if they overlap by an IoU of 0.1 or more; each finds one
lesion at most, and each lesion is found once, the best overlaps first. (Maier-Hein et al., Metrics
Reloaded, Nature Methods 21, 2024: greedy matching by mask IoU, with a threshold low enough for
rough localisation.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from hgmnet.data.resample import Mask

OVERLAP = 0.1
"""IoU from which on a lesion counts as found."""
_NEIGHBOURS = np.ones((3, 3), dtype=np.int64)


@dataclass(frozen=True)
class Found:
    """Of one image: true lesions, those found, and parts of the prediction that found none."""

    lesions: int
    found: int
    false: int


def find_lesions(predicted: Mask, truth: Mask) -> Found:
    """Match the parts of two masks of one image (H, W)."""
    parts, predictions = label(predicted, _NEIGHBOURS)
    lesions, count = label(truth, _NEIGHBOURS)
    if not count or not predictions:
        return Found(count, 0, predictions)
    matched = _matches(_overlaps(parts, lesions, predictions, count))
    return Found(count, matched, predictions - matched)


def _overlaps(
    parts: NDArray[np.int32], lesions: NDArray[np.int32], predictions: int, count: int
) -> NDArray[np.float64]:
    """IoU of each part with each lesion."""
    width = count + 1
    pairs = np.bincount(
        (parts.ravel().astype(np.int64) * width + lesions.ravel()),
        minlength=(predictions + 1) * width,
    ).reshape(predictions + 1, width)
    both = pairs[1:, 1:]
    union = pairs[1:].sum(axis=1)[:, None] + pairs[:, 1:].sum(axis=0)[None, :] - both
    return np.asarray(both / union)


def _matches(overlaps: NDArray[np.float64]) -> int:
    matched = 0
    while overlaps.size and overlaps.max() >= OVERLAP:
        part, lesion = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps = np.delete(np.delete(overlaps, part, axis=0), lesion, axis=1)
        matched += 1
    return matched
