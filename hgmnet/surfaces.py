"""How far two outlines lie apart: HD95 and NSD, in pixels.

Maier-Hein et al., Metrics Reloaded, Nature Methods 21, 2024; NSD after Nikolov et al., JMIR 23(7),
2021. An outline is the pixels of a mask that touch, by side or by corner, one outside of it.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from hgmnet.data.resample import Mask

TOLERANCE = 2.0
"""px: outlines that lie so near one another count as the same."""
_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True)
class Apart:
    """`hd95`: px. `nsd`: share of both outlines, 0 to 1, within `TOLERANCE` of the other."""

    hd95: float
    nsd: float


def apart(predicted: Mask, truth: Mask) -> Apart:
    """Compare two masks of one image (H, W), of which the truth is not empty.

    HD95 is the larger of the two directions' 95th percentiles. A missed lesion counts as the
    image's diagonal, with an NSD of 0.
    """
    if not predicted.any():
        return Apart(hypot(*truth.shape), 0.0)
    window = _window(predicted | truth)
    one, other = _outline(predicted[window]), _outline(truth[window])
    there, back = _distances(one, other), _distances(other, one)
    within = np.count_nonzero(there <= TOLERANCE) + np.count_nonzero(back <= TOLERANCE)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return Apart(float(hd95), within / (len(there) + len(back)))


def _distances(of: Mask, to: Mask) -> NDArray[np.float64]:
    """From each pixel of an outline to the nearest of another, px."""
    return np.asarray(distance_transform_edt(~to)[of])


def _outline(mask: Mask) -> Mask:
    inside = binary_erosion(mask, _NEIGHBOURS, border_value=0)
    return np.asarray(mask & ~inside)


def _window(mask: Mask) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
