"""Metrics of masks: pixel counts, Dice and IoU, outlines (HD95, NSD), lesions found.

Maier-Hein et al., Metrics Reloaded, Nature Methods 21, 2024; NSD after Nikolov et al., JMIR 23(7),
2021. An outline is the pixels of a mask that touch a pixel outside it, by edge or by corner.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects, label

from hgmnet.data.prepared import Counts
from hgmnet.data.resize import Mask

TOLERANCE = 2.0  # px: outlines at this distance or less count as equal
OVERLAP = 0.1  # minimum IoU of a lesion that counts as found
_SQUARE = np.ones((3, 3), dtype=np.int64)  # neighbours by edge and by corner
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """`hd95`: px. `nsd`: fraction of both outlines within `TOLERANCE` of the other, in [0, 1]."""

    hd95: float
    nsd: float


def surface_distances(predicted: Mask, truth: Mask) -> SurfaceDistances:
    """Compare two masks of one image (H, W); the truth must not be empty.

    HD95 is the larger of the two directions' 95th percentiles. A missed lesion counts as the
    image's diagonal, with an NSD of 0.
    """
    if not predicted.any():
        return SurfaceDistances(hypot(*truth.shape), 0.0)
    (window,) = find_objects((predicted | truth).astype(np.uint8))
    one, other = _outline(predicted[window]), _outline(truth[window])
    there, back = _distances(one, other), _distances(other, one)
    within = np.count_nonzero(there <= TOLERANCE) + np.count_nonzero(back <= TOLERANCE)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return SurfaceDistances(float(hd95), within / (len(there) + len(back)))


def _distances(of: Mask, to: Mask) -> NDArray[np.float64]:
    """Distances from each pixel of one outline to the nearest of another, px."""
    return np.asarray(distance_transform_edt(~to)[of])


def _outline(mask: Mask) -> Mask:
    return np.asarray(mask & ~binary_erosion(mask, _SQUARE, border_value=0))


@dataclass(frozen=True)
class Found:
    """Counts for one image: true lesions, those found, and predicted parts without a lesion."""

    lesions: int
    found: int
    false: int


def find_lesions(predicted: Mask, truth: Mask) -> Found:
    """Match the components of two masks of one image (H, W)."""
    parts, predictions = label(predicted, _SQUARE)
    lesions, count = label(truth, _SQUARE)
    if not count or not predictions:
        return Found(count, 0, predictions)
    overlaps, matched = _overlaps(parts, lesions, predictions, count), 0
    while overlaps.size and overlaps.max() >= OVERLAP:
        part, lesion = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps = np.delete(np.delete(overlaps, part, axis=0), lesion, axis=1)
        matched += 1
    return Found(count, matched, predictions - matched)


def _overlaps(
    parts: NDArray[np.int32], lesions: NDArray[np.int32], predictions: int, count: int
) -> NDArray[np.float64]:
    """IoU of each component with each lesion, (predictions, count)."""
    width = count + 1
    pairs = np.bincount(
        (parts.ravel().astype(np.int64) * width + lesions.ravel()),
        minlength=(predictions + 1) * width,
    ).reshape(predictions + 1, width)
    both = pairs[1:, 1:]
    union = pairs[1:].sum(axis=1)[:, None] + pairs[:, 1:].sum(axis=0)[None, :] - both
    return np.asarray(both / union)


def count_pixels(predicted: Mask, truth: Mask) -> tuple[int, int, int, int]:
    """True positive, false positive, false negative and true negative pixels of one image."""
    tp = int(np.count_nonzero(predicted & truth))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return tp, fp, fn, truth.size - tp - fp - fn


def dice(tp: Counts, fp: Counts, fn: Counts) -> Floats:
    """2 tp / (2 tp + fp + fn) by image; 1 where truth and prediction are both empty.

    >>> dice(np.array([8, 0]), np.array([2, 0]), np.array([2, 0]))
    array([0.8, 1. ])
    """
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def iou(tp: Counts, fp: Counts, fn: Counts) -> Floats:
    """Tp / (tp + fp + fn) by image; 1 where truth and prediction are both empty."""
    total = tp + fp + fn
    return np.where(total > 0, tp / np.maximum(total, 1), 1.0)
