"""How unsure a finding is, in one number.

Two things are measured of an image. The entropy of its class probabilities tells of wrong classes;
how far the masks of its views differ (test-time augmentation: Wang et al., Neurocomputing 338,
2019) tells of wrong masks. Either is put as the share of the val images that have less of it, and
the larger of the two is the uncertainty: docs/thresholds.md shows that it orders images better than
either does.
"""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from hgmnet.models.spec import Uncertainty

Floats = NDArray[np.float64]


def class_entropy(probs: Floats) -> Floats:
    """The entropy of class probabilities (..., C) as a share of the largest possible, in [0, 1]."""
    entropy = -(probs * np.log(np.clip(probs, 1e-12, None))).sum(axis=-1)
    return np.asarray(np.clip(entropy / log(probs.shape[-1]), 0, 1))


def disagreement(views: NDArray[np.float16], prob: NDArray[np.float32], threshold: float) -> Floats:
    """1 - the mean Dice of each view's mask with the mask predicted, (B,) in [0, 1].

    Where both are empty they agree.

    Args:
        views: mask probabilities by view, (B, V, S, S).
        prob: the mask probabilities predicted, (B, S, S).
        threshold: from which a pixel is lesion.
    """
    mask = (prob.astype(views.dtype) >= threshold)[:, None]
    seen = views >= threshold
    both = (mask & seen).sum(axis=(2, 3))
    sizes = mask.sum(axis=(2, 3)) + seen.sum(axis=(2, 3))
    return np.asarray(1 - np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0).mean(axis=1))


def levels(values: Floats) -> tuple[float, ...]:
    """What `rank` compares a value with: every twentieth of val's values, rising."""
    return tuple(round(float(v), 6) for v in np.quantile(values, np.linspace(0, 1, 21)))


def rank(values: Floats, among: Sequence[float]) -> Floats:
    """The share of the val images that have less, in [0, 1]; 0 where `among` is empty.

    `among`: of `levels`; between two of them the share rises evenly.
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
    """The share of the val images whose class, or whose mask, was surer: the larger, in [0, 1]."""
    return np.maximum(
        rank(entropy, known.class_entropy), rank(disagreeing, known.mask_disagreement)
    )
