"""Turn the network's raw output into a prediction at native size; needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.base import MALIGNANT, NORMAL, UNCLASSIFIED
from hgmnet.data.resize import Mask, Prob, resize_to_original
from hgmnet.inference.uncertainty import class_entropy, disagreement, uncertainty
from hgmnet.models.spec import Operating, Spec

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class RawPrediction:
    """The network's output for a batch, at input size.

    `mask_prob`, `coarse_mask_prob`: (B, S, S) float32 in [0, 1]. `class_logits`: (B, C) float32.
    `views`: mask probabilities by view, mapped back to the image, (B, V, S, S) float16.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    class_logits: NDArray[np.float32]
    views: NDArray[np.float16]


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image (H, W); masks are (H, W) bool.

    `probs`: calibrated, by class. `predicted`: the likeliest class. `decided`: malignant from its
    threshold on, else the likeliest of the others. `decision`: the class served, after the
    consistency rules. `raw_mask`, `coarse_mask`: the fine and the coarse net's mask at the mask
    threshold. `large`: the fine net's mask reaches the minimum area. `mask`: the mask served, after
    minimum area and the consistency rules. `lesion_area`: its area, px. `box`: left, top, right,
    bottom (exclusive), None without a lesion. `class_entropy`, `mask_disagreement`, `uncertainty`:
    0 to 1, see `hgmnet.inference.uncertainty`. `refer`: above the uncertainty threshold.

    For a model for segmentation alone every image is `unclassified`, with equal `probs`; for one
    for classification alone masks are empty.
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
    """Turn the network's output for image i of a batch into a prediction at native size.

    Args:
        raw: output for the batch.
        i: index of the image in the batch.
        shape: height and width of the image, px.
        spec: spec with the input settings and classes.
        operating: the operating point.
    """
    probs = softmax(raw.class_logits[i] / operating.temperature)
    predicted, decided = UNCLASSIFIED, UNCLASSIFIED
    if operating.malignant_threshold is not None:
        predicted = spec.classes[int(probs.argmax())]
        decided = classify(probs, spec.classes, operating.malignant_threshold)
    raw_mask = (
        resize_to_original(raw.mask_prob[i], *shape, spec.prepare) >= operating.mask_threshold
    )
    coarse = resize_to_original(raw.coarse_mask_prob[i], *shape, spec.prepare)
    mask = final_mask(raw_mask, decided, operating)
    entropy, disagreeing, unsure = (
        float(x[0]) for x in uncertainty_scores(_one(raw, i), operating)
    )
    bound = operating.uncertainty.refer_above
    return Prediction(
        probs=dict(zip(spec.classes, map(float, probs), strict=True)),
        predicted=predicted,
        decided=decided,
        decision=final_class(decided, mask, spec.classes, operating),
        mask=mask,
        raw_mask=raw_mask,
        coarse_mask=coarse >= operating.mask_threshold,
        large=_large(raw_mask, operating),
        lesion_area=int(mask.sum()),
        box=_box(mask),
        class_entropy=entropy,
        mask_disagreement=disagreeing,
        uncertainty=unsure,
        refer=bound is not None and unsure > bound,
    )


def uncertainty_scores(raw: RawPrediction, operating: Operating) -> tuple[NDArray[np.float64], ...]:
    """Return class entropy, mask disagreement and uncertainty of a batch, each (B,) in [0, 1]."""
    entropy = class_entropy(softmax(raw.class_logits / operating.temperature))
    disagreeing = disagreement(raw.views, raw.mask_prob, operating.mask_threshold)
    return entropy, disagreeing, uncertainty(entropy, disagreeing, operating.uncertainty)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute probabilities over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def classify(probs: NDArray[np.float64], classes: Sequence[str], malignant_threshold: float) -> str:
    """Return malignant from its threshold on, else the likeliest of the others."""
    malignant = classes.index(MALIGNANT)
    if probs[malignant] >= malignant_threshold:
        return MALIGNANT
    others = [i for i in range(len(classes)) if i != malignant]
    return classes[max(others, key=lambda i: float(probs[i]))]


def final_mask(raw_mask: Mask, decided: str, operating: Operating) -> Mask:
    """Return the mask served: empty below the minimum area, or for normal if that rule is on."""
    taken = decided == NORMAL and operating.normal_means_no_mask
    return raw_mask if _large(raw_mask, operating) and not taken else np.zeros_like(raw_mask)


def final_class(decided: str, mask: Mask, classes: Sequence[str], operating: Operating) -> str:
    """Return the decision served: normal if the mask served is empty and that rule is on.

    A malignant decision stays: a lesion that the mask misses must not be served as normal. Without
    a class `normal` nothing changes.
    """
    bare = operating.no_mask_means_normal and NORMAL in classes and not mask.any()
    return NORMAL if bare and decided not in {MALIGNANT, UNCLASSIFIED} else decided


def _large(raw_mask: Mask, operating: Operating) -> bool:
    return bool(raw_mask.mean() >= operating.min_area)


def _one(raw: RawPrediction, i: int) -> RawPrediction:
    """Return the output for image i as a batch of one."""
    only = slice(i, i + 1)
    return RawPrediction(
        raw.mask_prob[only], raw.coarse_mask_prob[only], raw.class_logits[only], raw.views[only]
    )


def _box(mask: Mask) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
