"""Uncertainty of a prediction, as one number.

Two measures are computed per image. The entropy of its class probabilities indicates wrong classes;
the disagreement of its views' masks (test-time augmentation: Wang et al., Neurocomputing 338, 2019)
indicates wrong masks. Each is expressed as the fraction of val images with a smaller value, and the
larger of the two is the uncertainty: docs/thresholds.md shows that it ranks errors better than each
measure alone.
"""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from hgmnet.models.spec import Uncertainty

Floats = NDArray[np.float64]
_LEVELS = 21
"""Number of quantiles of val's values: every 5 %."""


def class_entropy(probs: Floats) -> Floats:
    """Entropy of class probabilities (..., C), divided by its maximum, in [0, 1]."""
    entropy = -(probs * np.log(np.clip(probs, 1e-12, None))).sum(axis=-1)
    return np.asarray(np.clip(entropy / log(probs.shape[-1]), 0, 1))


def disagreement(views: NDArray[np.float16], told: NDArray[np.float32], threshold: float) -> Floats:
    """1 - mean Dice of each view's mask with the predicted mask, (B,) in [0, 1].

    Two empty masks have a Dice of 1.

    Args:
        views: mask probabilities by view, (B, V, S, S).
        told: predicted mask probabilities, (B, S, S).
        threshold: mask threshold, in (0, 1).
    """
    mask = (told.astype(views.dtype) >= threshold)[:, None]
    seen = views >= threshold
    both = (mask & seen).sum(axis=(2, 3))
    sizes = mask.sum(axis=(2, 3)) + seen.sum(axis=(2, 3))
    return np.asarray(1 - np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0).mean(axis=1))


def levels(values: Floats) -> tuple[float, ...]:
    """Return the quantiles for `rank`: every 5 % of val's values, ascending."""
    return tuple(round(float(v), 6) for v in np.quantile(values, np.linspace(0, 1, _LEVELS)))


def rank(values: Floats, among: Sequence[float]) -> Floats:
    """Return the fraction of val images with a smaller value, in [0, 1]; 0 if `among` is empty.

    Args:
        values: any shape.
        among: quantiles of `levels`; the fraction is interpolated linearly between them.
    """
    if not among:
        return np.zeros_like(values, dtype=np.float64)
    rising = np.asarray(among)
    above = np.searchsorted(rising, values, side="left")
    i = np.clip(above, 1, len(rising) - 1)
    low, high = rising[i - 1], rising[i]
    part = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
    return np.where(above == 0, 0.0, (i - 1 + part) / (len(rising) - 1))


def uncertainty(entropy: Floats, disagreeing: Floats, known: Uncertainty) -> Floats:
    """Return the larger of both ranks among the val images, in [0, 1]."""
    return np.maximum(
        rank(entropy, known.class_entropy), rank(disagreeing, known.mask_disagreement)
    )
