"""Scores from counts: pixels and classes, with DESIGN's rules for empty masks.

Every function takes one value an image and returns one number; NaN where nothing can be said.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hgmnet.data.resample import Mask

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HIGHER_IS_BETTER = {
    "lesion_dice": True,
    "lesion_iou": True,
    "coarse_lesion_dice": True,
    "served_lesion_dice": True,
    "dice_all": True,
    "normal_fp_rate": False,
    "served_normal_fp_rate": False,
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "auroc_malignant": True,
    "served_accuracy": True,
    "served_sensitivity_malignant": True,
    "served_specificity_malignant": True,
    "ece": False,
}
"""Each figure and its direction; beside them `sensitivity_<class>` and `specificity_<class>`."""

BY_SUBGROUP = (
    "lesion_dice",
    "served_lesion_dice",
    "normal_fp_rate",
    "served_normal_fp_rate",
    "accuracy",
    "served_accuracy",
    "sensitivity_malignant",
    "specificity_malignant",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
)
"""The figures that are told of every subgroup that has images for them."""


def known(classes: Sequence[str]) -> list[str]:
    """The names of all figures that a model of these classes can have, sorted."""
    by_class = [f"{kind}_{name}" for kind in ("sensitivity", "specificity") for name in classes]
    return sorted([*HIGHER_IS_BETTER, *by_class])


def higher_is_better(metric: str) -> bool:
    """The direction of a metric.

    Raises:
        KeyError: there is no such metric.
    """
    if metric.startswith(("sensitivity_", "specificity_")):
        return True
    return HIGHER_IS_BETTER[metric]


def count_pixels(predicted: Mask, truth: Mask) -> tuple[int, int, int, int]:
    """True positive, false positive, false negative and true negative pixels of one image."""
    tp = int(np.count_nonzero(predicted & truth))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return tp, fp, fn, truth.size - tp - fp - fn


def dice(tp: Counts, fp: Counts, fn: Counts) -> Floats:
    """2 tp / (2 tp + fp + fn) by image; 1 where truth and prediction are both empty."""
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def iou(tp: Counts, fp: Counts, fn: Counts) -> Floats:
    """Tp / (tp + fp + fn) by image; 1 where truth and prediction are both empty."""
    total = tp + fp + fn
    return np.where(total > 0, tp / np.maximum(total, 1), 1.0)


def recall(truth: Bools, predicted: Bools) -> float:
    """Share of the true that were predicted."""
    return float(predicted[truth].mean()) if truth.any() else float("nan")


def macro_f1(label: Counts, predicted: Counts, classes: int) -> float:
    """Mean over the classes that occur of 2 tp / (2 tp + fp + fn)."""
    scores = [
        2 * np.sum((label == c) & (predicted == c)) / (np.sum(label == c) + np.sum(predicted == c))
        for c in range(classes)
        if np.any(label == c) or np.any(predicted == c)
    ]
    return float(np.mean(scores)) if scores else float("nan")


def auroc(positive: Bools, score: Floats) -> float:
    """Area under the ROC curve: how often a positive outranks a negative, ties counted half."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = rank[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def expected_calibration_error(correct: Bools, confidence: Floats, bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their share.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 3.
    """
    if not len(correct):
        return float("nan")
    index = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gap = np.bincount(index, correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(correct))


def class_indices(labels: Sequence[str], classes: Sequence[str]) -> Counts:
    """The index of each label among the classes."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)
