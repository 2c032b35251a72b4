"""Choose the mask threshold and the minimum area on val."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.base import Frozen

MASK_THRESHOLD = 0.5
_THRESHOLDS = (0.5, 0.3, 0.35, 0.4, 0.45, 0.55, 0.6, 0.65, 0.7)
_AREAS = (0.0, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class MaskPoint(Frozen):
    """Final figures on val for a mask threshold and a minimum area (fraction of the image).

    `lesion_dice`: mean over the images with a lesion; None if there are none. `normal_fp_rate`:
    fraction of the images without a lesion whose mask is not empty; None if there are none.
    """

    mask_threshold: float
    min_area: float
    lesion_dice: float | None
    normal_fp_rate: float | None


class MaskCurve(Frozen):
    """The points tried, the default one first, and the chosen one; empty for no masks."""

    points: tuple[MaskPoint, ...] = ()
    chosen: MaskPoint | None = None


def mask_curve(
    prob: NDArray[np.float32],
    truth: Bools,
    *,
    shares: Floats,
    taken: Bools,
    groups: Sequence[str],
    price: float,
) -> MaskCurve:
    """Try thresholds and minimum areas, and choose one of each.

    The default point is a threshold of 0.5 and `minimum_area`. Another is chosen only if lesion
    Dice minus `price` times the normals' false-positive rate is better by more than one standard
    error of the default point's lesion Dice (the one-standard-error rule of Breiman et al.,
    Classification and Regression Trees, 1984, 3.4.3): a hundred images distinguish no finer.

    Args:
        prob: of lesion, (N, S, S) float32.
        truth: (N, S, S) bool.
        shares: the fraction of the square that each image fills, (N,) in (0, 1].
        taken: whether a rule always empties the image's mask, (N,) bool.
        groups: of the images, (N,).
        price: in lesion Dice, of a false positive on every normal image.
    """
    least = minimum_area(prob >= MASK_THRESHOLD, truth, shares)
    areas = (least, *(area for area in _AREAS if area != least))
    tried = [_Tried.at(threshold, prob, truth, shares) for threshold in _THRESHOLDS]
    points = tuple(one.point(area, taken) for one in tried for area in areas)
    dice = tried[0].dice(least, taken)
    lesion = tried[0].truth > 0
    names = [name for name, chosen in zip(groups, lesion, strict=True) if chosen]
    chosen = choose(points, price, standard_error(dice[lesion], names))
    return MaskCurve(points=points, chosen=chosen)


def minimum_area(predicted: Bools, truth: Bools, shares: Floats) -> float:
    """Half of the 2 % quantile of the areas of masks that overlap their lesion, per image area.

    This removes specks and loses almost no found lesion; 0 if none was found.
    """
    met = (predicted & truth).any(axis=(1, 2))
    areas = predicted[met].mean(axis=(1, 2)) / shares[met]
    return float(np.quantile(areas, 0.02) / 2) if len(areas) else 0.0


def choose(points: Sequence[MaskPoint], price: float, allowance: float) -> MaskPoint:
    """Return the best point, or the first if the best is not better by more than `allowance`.

    A higher price never chooses a point with more false positives.
    """

    def score(point: MaskPoint) -> float:
        return (point.lesion_dice or 0.0) - price * (point.normal_fp_rate or 0.0)

    def worth(point: MaskPoint) -> tuple[float, ...]:
        from_half = abs(point.mask_threshold - MASK_THRESHOLD)
        return score(point), -(point.normal_fp_rate or 0.0), -from_half, -point.min_area

    best = max(points, key=worth)
    return best if score(best) > score(points[0]) + allowance else points[0]


def standard_error(values: Floats, groups: Sequence[str]) -> float:
    """Standard error of the mean of grouped values (N,); infinite for fewer than two groups."""
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = len(set(groups))
    if count < 2:
        return inf
    sums = np.bincount(index, values - values.mean())
    return sqrt(float((sums**2).sum()) * count / (count - 1)) / len(values)


@dataclass(frozen=True)
class _Tried:
    """Pixel counts at a threshold per prepared image: predicted, true, both; (N,) each.

    `area`: the predicted area as a fraction of the image.
    """

    threshold: float
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    both: NDArray[np.int64]
    area: Floats

    @classmethod
    def at(
        cls, threshold: float, prob: NDArray[np.float32], truth: Bools, shares: Floats
    ) -> "_Tried":
        mask = prob >= threshold
        masks = (mask, truth, mask & truth)
        predicted, real, both = (np.count_nonzero(one, axis=(1, 2)) for one in masks)
        return cls(threshold, predicted, real, both, predicted / prob[0].size / shares)

    def kept(self, least: float, taken: Bools) -> Bools:
        return np.asarray((self.predicted > 0) & (self.area >= least) & ~taken)

    def dice(self, least: float, taken: Bools) -> Floats:
        kept = self.kept(least, taken)
        sizes = self.predicted * kept + self.truth
        return np.asarray(2 * self.both * kept / np.maximum(sizes, 1))

    def point(self, least: float, taken: Bools) -> MaskPoint:
        lesion = self.truth > 0
        dice, false = self.dice(least, taken)[lesion], self.kept(least, taken)[~lesion]
        mean, rate = (float(values.mean()) if len(values) else None for values in (dice, false))
        return MaskPoint(
            mask_threshold=self.threshold, min_area=least, lesion_dice=mean, normal_fp_rate=rate
        )
