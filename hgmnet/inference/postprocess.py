"""Prediction at the image's original size from the network's raw output; needs no torch.

The uncertainty of a prediction is one number. Class entropy indicates wrong classes; the
disagreement between the masks of an image's views (test-time augmentation: Wang et al.,
Neurocomputing 338, 2019) indicates wrong masks. Each is converted to the fraction of val images
with a lower value; the larger of the two is the uncertainty. docs/thresholds.md shows that it
orders images better than either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.base import MALIGNANT, NORMAL, UNCLASSIFIED
from hgmnet.data.resize import Mask, Prob, resize_to_original
from hgmnet.models.spec import Operating, Spec, Uncertainty

Box = tuple[int, int, int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RawPrediction:
    """Network output for a batch, at its input size S.

    `mask_prob`, `coarse_mask_prob`: (B, S, S) float32. `class_logits`: (B, C) float32. `views`: the
    mask probabilities of each view, aligned with the image, (B, V, S, S) float16.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    class_logits: NDArray[np.float32]
    views: NDArray[np.float16]


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image; masks are (H, W) bool.

    `probs`: calibrated, by class. `predicted`: the most probable class. `decided`: malignant from
    its threshold on, else the most probable other class. `decision`: the final class, after the
    consistency rules. `raw_mask`, `coarse_mask`: masks of the fine and the coarse net at the mask
    threshold. `large`: the fine net's mask reaches the minimum area. `mask`: the final mask, after
    minimum area and the consistency rules. `lesion_area`: its pixels. `box`: left, top, right,
    bottom (exclusive), None without a lesion. `class_entropy`, `mask_disagreement`, `uncertainty`:
    in [0, 1]. `refer`: uncertain enough for referral to a reader.

    A segmentation-only model decides `unclassified` for every image, with equal `probs`; a
    classification-only one returns empty masks.
    """

    probs: dict[str, float]
    predicted: str
    decided: str
    decision: str
    mask: Mask
    raw_mask: Mask
    coarse_mask: Mask
    large: bool
    lesion_area: int
    box: Box | None
    class_entropy: float
    mask_disagreement: float
    uncertainty: float
    refer: bool


def postprocess(
    raw: RawPrediction, i: int, shape: tuple[int, int], spec: Spec, operating: Operating
) -> Prediction:
    """Convert the network's output for image i of a batch into a prediction of `shape` (H, W)."""
    probs = softmax(raw.class_logits[i] / operating.temperature)
    predicted, decided = UNCLASSIFIED, UNCLASSIFIED
    if operating.malignant_threshold is not None:
        predicted = spec.classes[int(probs.argmax())]
        decided = classify(probs, spec.classes, operating.malignant_threshold)
    raw_mask, coarse_mask = (
        resize_to_original(prob[i], *shape, spec.prepare) >= operating.mask_threshold
        for prob in (raw.mask_prob, raw.coarse_mask_prob)
    )
    mask = final_mask(raw_mask, decided, operating)
    one = slice(i, i + 1)
    only = RawPrediction(
        raw.mask_prob[one], raw.coarse_mask_prob[one], raw.class_logits[one], raw.views[one]
    )
    entropy, disagreeing, unsure = (float(x[0]) for x in uncertainty_scores(only, operating))
    bound = operating.uncertainty.refer_above
    return Prediction(
        probs=dict(zip(spec.classes, map(float, probs), strict=True)),
        predicted=predicted,
        decided=decided,
        decision=final_class(decided, mask, spec.classes, operating),
        mask=mask,
        raw_mask=raw_mask,
        coarse_mask=coarse_mask,
        large=_large(raw_mask, operating),
        lesion_area=int(mask.sum()),
        box=_box(mask),
        class_entropy=entropy,
        mask_disagreement=disagreeing,
        uncertainty=unsure,
        refer=bound is not None and unsure > bound,
    )


def uncertainty_scores(raw: RawPrediction, operating: Operating) -> tuple[NDArray[np.float64], ...]:
    """Class entropy, mask disagreement and uncertainty of a batch, (B,) each."""
    entropy = class_entropy(softmax(raw.class_logits / operating.temperature))
    disagreeing = disagreement(raw.views, raw.mask_prob, operating.mask_threshold)
    return entropy, disagreeing, uncertainty(entropy, disagreeing, operating.uncertainty)


def class_entropy(probs: Floats) -> Floats:
    """Entropy of class probabilities (..., C), divided by its maximum log C, in [0, 1]."""
    entropy = -(probs * np.log(np.clip(probs, 1e-12, None))).sum(axis=-1)
    return np.asarray(np.clip(entropy / log(probs.shape[-1]), 0, 1))


def disagreement(views: NDArray[np.float16], prob: NDArray[np.float32], threshold: float) -> Floats:
    """One minus the mean Dice of each view's mask and the predicted mask, (B,) in [0, 1].

    `views`: mask probabilities, (B, V, S, S); `prob`: the predicted ones, (B, S, S). Two empty
    masks agree.
    """
    mask = (prob.astype(views.dtype) >= threshold)[:, None]
    seen = views >= threshold
    both = (mask & seen).sum(axis=(2, 3))
    sizes = mask.sum(axis=(2, 3)) + seen.sum(axis=(2, 3))
    return np.asarray(1 - np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0).mean(axis=1))


def levels(values: Floats) -> tuple[float, ...]:
    """Quantiles of val's values in steps of 5 %, ascending: the reference of `rank`."""
    return tuple(round(float(v), 6) for v in np.quantile(values, np.linspace(0, 1, 21)))


def rank(values: Floats, among: Sequence[float]) -> Floats:
    """Fraction of val images with a lower value, in [0, 1]; 0 where `among` is empty.

    `among`: from `levels`, with linear interpolation between two of them.
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
    """Fraction of val images with a lower uncertainty, the larger of both kinds, in [0, 1]."""
    return np.maximum(
        rank(entropy, known.class_entropy), rank(disagreeing, known.mask_disagreement)
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def classify(probs: NDArray[np.float64], classes: Sequence[str], malignant_threshold: float) -> str:
    """Return malignant from its threshold on, else the most probable other class.

    >>> classify(np.array([0.6, 0.3, 0.1]), ("benign", "malignant", "normal"), 0.25)
    'malignant'
    """
    malignant = classes.index(MALIGNANT)
    if probs[malignant] >= malignant_threshold:
        return MALIGNANT
    others = [i for i in range(len(classes)) if i != malignant]
    return classes[max(others, key=lambda i: float(probs[i]))]


def final_mask(raw_mask: Mask, decided: str, operating: Operating) -> Mask:
    """Return the final mask: empty below the minimum area, or where the class is normal."""
    taken = decided == NORMAL and operating.normal_means_no_mask
    return raw_mask if _large(raw_mask, operating) and not taken else np.zeros_like(raw_mask)


def final_class(decided: str, mask: Mask, classes: Sequence[str], operating: Operating) -> str:
    """Return the final class: normal where the final mask is empty, if that rule is on.

    A malignant decision is kept: a lesion that the mask misses must not pass for healthy. Nothing
    changes without a class `normal`.
    """
    bare = operating.no_mask_means_normal and NORMAL in classes and not mask.any()
    return NORMAL if bare and decided not in {MALIGNANT, UNCLASSIFIED} else decided


def _large(raw_mask: Mask, operating: Operating) -> bool:
    return bool(raw_mask.mean() >= operating.min_area)


def _box(mask: Mask) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
