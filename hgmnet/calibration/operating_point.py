"""Operating point, chosen on val only: temperature, thresholds, minimum area, referral."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from hgmnet.calibration.mask_threshold import MASK_THRESHOLD, MaskCurve, mask_curve
from hgmnet.config.base import MALIGNANT, NORMAL, UNCLASSIFIED
from hgmnet.config.evaluation import Calibrate
from hgmnet.config.model import Model
from hgmnet.data.prepared import PreparedDataset, class_indices
from hgmnet.data.progress import batches
from hgmnet.data.resize import Grey, content_size
from hgmnet.errors import InvalidDataError
from hgmnet.inference import postprocess
from hgmnet.inference.maps import joined
from hgmnet.inference.postprocess import RawPrediction, classify, softmax, uncertainty_scores
from hgmnet.metrics.bootstrap import GroupBootstrap
from hgmnet.models.spec import Operating, Spec, Uncertainty

Floats = NDArray[np.float64]
_DRAWS = 500


def refer_bound(
    uncertain: Floats, errors: Floats, groups: Sequence[str], share: float
) -> float | None:
    """Choose the uncertainty threshold for referral to a reader, on val; None if not worth it.

    The threshold is midway between two val images, with at most the fraction `share` of them above.
    Referral is worth it if uncertainty orders the images by their errors: if the risk area
    (`aurc`) is below the mean error in 95 of 100 bootstrap draws of groups. This uses all images,
    because too few would be referred. Uncertainty and errors are (N,) in [0, 1].
    """
    count = int(share * len(uncertain) + 1e-9)
    if not 0 < count < len(uncertain):
        return None
    blocks = GroupBootstrap(groups, _DRAWS, seed=0).weights()
    draws = (
        np.flatnonzero(often).repeat(often[often > 0].astype(int)) for w in blocks for often in w
    )
    gains = [errors[rows].mean() - aurc(uncertain[rows], errors[rows]) for rows in draws]
    if np.percentile(gains, 5) <= 0:
        return None
    falling = np.sort(uncertain)[::-1]
    return float((falling[count - 1] + falling[count]) / 2)


def aurc(uncertain: Floats, errors: Floats) -> float:
    """Area under the risk-coverage curve: mean error of the n most confident images, over all n.

    Smaller is better; a random order gives the mean error (Geifman, El-Yaniv, NeurIPS 2017). Images
    with equal uncertainty get their mean error.

    >>> aurc(np.array([0.1, 0.2]), np.array([0.0, 1.0]))
    0.25
    """
    order = np.argsort(uncertain, kind="stable")
    _, start, size = np.unique(uncertain[order], return_index=True, return_counts=True)
    smooth = np.repeat(np.add.reduceat(errors[order], start) / size, size)
    return float((np.cumsum(smooth) / np.arange(1, len(smooth) + 1)).mean())


@dataclass(frozen=True)
class Val:
    """The N val images, and the network's predictions for them.

    `truth`: (N, S, S) masks. `labels`: class indices, (N,). `shares`: the fraction of the square
    that each image fills, (N,) in (0, 1]. `groups`: of the images, (N,).
    """

    raw: RawPrediction
    truth: NDArray[np.bool_]
    labels: NDArray[np.int64]
    shares: NDArray[np.float64]
    groups: Sequence[str]


@dataclass(frozen=True)
class Calibrated:
    """The operating point and its mask curve."""

    operating: Operating
    curve: MaskCurve


def calibrate(val: Val, *, classes: tuple[str, ...], aim: Calibrate, model: Model) -> Calibrated:
    """Choose the operating point, as far as the model has one.

    In this order: temperature, malignant threshold, mask threshold and minimum area with the final
    decision, referral. A segmentation model predicts the same class for every image: its
    temperature is 1, and it has no malignant threshold. A classification model has no minimum area
    (0). The rule that no mask means normal is off if it makes no sense for the model or the
    classes.

    Raises:
        InvalidDataError: val has no malignant image, and the model predicts classes.
    """
    threshold, temperature, decided = None, 1.0, np.full(len(val.labels), UNCLASSIFIED)
    if model.classifies:
        temperature = fit_temperature(val.raw.class_logits, val.labels)
        probs = softmax(val.raw.class_logits / temperature)
        malignant = classes.index(MALIGNANT)
        positives = probs[val.labels == malignant, malignant]
        if not len(positives):
            raise InvalidDataError(
                "val has no malignant image, so no threshold can be chosen; add images, or split "
                "again"
            )
        threshold = threshold_for(positives, aim.malignant_sensitivity)
        decided = np.array([classify(one, classes, threshold) for one in probs])
    taken = (decided == NORMAL) & aim.normal_means_no_mask
    curve = MaskCurve()
    if model.segments:
        curve = mask_curve(
            val.raw.mask_prob,
            val.truth,
            shares=val.shares,
            taken=taken,
            groups=val.groups,
            price=aim.normal_fp_price,
        )
    sensible = model.segments and model.classifies and NORMAL in classes
    point = Operating(
        temperature=temperature,
        mask_threshold=curve.chosen.mask_threshold if curve.chosen else MASK_THRESHOLD,
        min_area=curve.chosen.min_area if curve.chosen else 0.0,
        malignant_threshold=threshold,
        normal_means_no_mask=aim.normal_means_no_mask,
        mirror=aim.mirror,
        no_mask_means_normal=aim.no_mask_means_normal and sensible,
        scales=aim.scales,
    )
    unsure = _uncertainty(val, point, _errors(val, point, taken, model), aim.refer_share, model)
    return Calibrated(point.model_copy(update={"uncertainty": unsure}), curve)


def _errors(
    val: Val, point: Operating, taken: NDArray[np.bool_], model: Model
) -> NDArray[np.float64]:
    """Each error, (N,) in [0, 1], at input size; as `selective_prediction.errors` of evaluation."""
    parts: list[NDArray[np.float64]] = []
    if model.classifies:
        parts.append((val.raw.class_logits.argmax(axis=1) != val.labels).astype(float))
    if model.segments:
        mask = val.raw.mask_prob >= point.mask_threshold
        small = mask.mean(axis=(1, 2)) / val.shares < point.min_area
        mask[small | taken] = False
        both = (mask & val.truth).sum(axis=(1, 2))
        sizes = mask.sum(axis=(1, 2)) + val.truth.sum(axis=(1, 2))
        parts.append(1 - np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0))
    return np.asarray(np.mean(parts, axis=0))


def _uncertainty(
    val: Val, point: Operating, errors: NDArray[np.float64], share: float, model: Model
) -> Uncertainty:
    entropy, disagreeing, _ = uncertainty_scores(val.raw, point)
    known = Uncertainty(
        class_entropy=postprocess.levels(entropy) if model.classifies else (),
        mask_disagreement=postprocess.levels(disagreeing) if model.segments else (),
    )
    unsure = postprocess.uncertainty(entropy, disagreeing, known)
    bound = refer_bound(unsure, errors, val.groups, share)
    return known.model_copy(update={"refer_above": bound})


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Fit it in [0.2, 5] by likelihood, from logits (N, C), labels (N,); Guo et al., ICML 2017."""

    def nll(log_temperature: float) -> float:
        probs = softmax(logits / np.float32(np.exp(log_temperature)))
        chosen = probs[np.arange(len(labels)), labels]
        return float(-np.log(np.clip(chosen, 1e-12, None)).mean())

    found = minimize_scalar(nll, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def threshold_for(scores: NDArray[np.float64], sensitivity: float) -> float:
    """Return a threshold reached by this fraction of the positives' scores, and not one more.

    It is midway to the next lower score (or to 0), because the last digits of a score depend on the
    batch of its image.

    >>> threshold_for(np.array([0.9, 0.5, 0.25, 0.0]), sensitivity=0.5)
    0.375
    """
    needed = ceil(sensitivity * len(scores) - 1e-9)
    falling = np.append(np.sort(scores)[::-1], 0.0)
    return float((falling[needed - 1] + falling[needed]) / 2)


_BATCH = 32


def predict_val(predict: Callable[[Grey], RawPrediction], store: PreparedDataset) -> RawPrediction:
    """Return the network's output for all val images; `predict` takes a batch (B, S, S) uint8."""
    rows = store.rows("val")
    parts = batches(len(rows), _BATCH, "predicting val")
    return joined([predict(store.images[rows[part]]) for part in parts])


def operating_point(
    raw: RawPrediction, store: PreparedDataset, spec: Spec, aim: Calibrate
) -> Calibrated:
    """Choose it from `predict_val`; raises as `calibrate`."""
    val = [store.entries[row] for row in store.rows("val")]
    sizes = (content_size(entry.height, entry.width, spec.prepare) for entry in val)
    seen = Val(
        raw,
        truth=store.masks[store.rows("val")] > 0,
        labels=class_indices([entry.label for entry in val], spec.classes),
        shares=np.array([rows * columns / spec.prepare.side**2 for rows, columns in sizes]),
        groups=[entry.group for entry in val],
    )
    return calibrate(seen, classes=spec.classes, aim=aim, model=spec.model)
