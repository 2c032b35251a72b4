"""Catalogue of all metrics, for evaluation, gate, report and docs/metrics.md."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

_CLASS = "<class>"


@dataclass(frozen=True)
class Metric:
    """One metric of a split's images.

    `formula`: in words and symbols, over the pixels, lesions or classes of `images`. `empty`: the
    value for an image without truth or prediction. `by_subgroup`: computed for each subgroup with
    images for it, and allowed in a check of the gate there.
    """

    name: str
    title: str
    formula: str
    images: str
    empty: str = "–"
    higher_is_better: bool = True
    by_subgroup: bool = False


_DICE = "2 tp / (2 tp + fp + fn), mean"
_MISSED = "nothing predicted: 0"
METRICS = (
    Metric("lesion_dice", "Lesion Dice", _DICE, "lesion", _MISSED, by_subgroup=True),
    Metric("lesion_iou", "Lesion IoU", "tp / (tp + fp + fn), mean", "lesion", _MISSED),
    Metric(
        "coarse_lesion_dice",
        "Lesion Dice of the coarse net",
        f"{_DICE}; of the coarse net's mask",
        "lesion",
        _MISSED,
    ),
    Metric(
        "served_lesion_dice",
        "Lesion Dice, as served",
        f"{_DICE}; of the final mask",
        "lesion",
        _MISSED,
        by_subgroup=True,
    ),
    Metric(
        "dice_all",
        "Dice over all images (empty on empty is 1)",
        f"{_DICE}; of the final mask",
        "all",
        "empty on empty: 1",
    ),
    Metric(
        "pixel_sensitivity",
        "Pixel sensitivity in lesions",
        "tp / (tp + fn), mean",
        "lesion",
        _MISSED,
    ),
    Metric(
        "pixel_precision",
        "Pixel precision in lesions",
        "tp / (tp + fp), mean",
        "lesion",
        "nothing predicted: left out, so its n is smaller",
    ),
    Metric(
        "hd95",
        "HD95 of lesions, px",
        "95th percentile of the distances between the outlines, the larger direction, mean, px",
        "lesion",
        "nothing predicted: the image's diagonal",
        higher_is_better=False,
    ),
    Metric(
        "nsd",
        "NSD of lesions at 2 px",
        "fraction of both outlines within 2 px of the other, mean",
        "lesion",
        _MISSED,
    ),
    Metric(
        "area_error",
        "Relative error of the lesion area",
        "|predicted - true area| / true area, mean",
        "lesion",
        "nothing predicted: 1",
        higher_is_better=False,
    ),
    Metric(
        "lesion_sensitivity",
        "Lesions found, raw",
        "lesions found / lesions; a lesion is a connected part",
        "lesion",
    ),
    Metric(
        "served_lesion_sensitivity",
        "Lesions found, as served",
        "lesions found / lesions, in the final mask",
        "lesion",
    ),
    Metric(
        "false_lesions",
        "False lesions per image, raw",
        "predicted parts that found no lesion, mean per image",
        "all",
        higher_is_better=False,
    ),
    Metric(
        "served_false_lesions",
        "False lesions per image, as served",
        "predicted parts in the final mask that found no lesion, mean per image",
        "all",
        higher_is_better=False,
    ),
    Metric(
        "normal_fp_rate",
        "Normals with a false lesion, raw",
        "fraction with anything predicted",
        "without lesion",
        higher_is_better=False,
        by_subgroup=True,
    ),
    Metric(
        "served_normal_fp_rate",
        "Normals with a false lesion, as served",
        "fraction with anything in the final mask",
        "without lesion",
        higher_is_better=False,
        by_subgroup=True,
    ),
    Metric("accuracy", "Accuracy", "fraction whose top class is right", "all", by_subgroup=True),
    Metric("balanced_accuracy", "Balanced accuracy", "mean of the classes' sensitivities", "all"),
    Metric("macro_f1", "Macro F1", "mean of the classes' F1", "all"),
    Metric(
        "auroc_malignant",
        "AUROC, malignant against the rest",
        "how often a malignant image has the higher probability; ties half",
        "all",
    ),
    Metric(
        "average_precision_malignant",
        "Average precision, malignant",
        "area under precision and recall, without interpolation",
        "all",
    ),
    Metric(
        "served_accuracy",
        "Accuracy, as served",
        "fraction whose decision (malignant from its threshold on) is right",
        "all",
        by_subgroup=True,
    ),
    Metric(
        "served_sensitivity_malignant",
        "Sensitivity for malignant, as served",
        "fraction decided malignant",
        "malignant",
        by_subgroup=True,
    ),
    Metric(
        "served_specificity_malignant",
        "Specificity for malignant, as served",
        "fraction not decided malignant",
        "not malignant",
        by_subgroup=True,
    ),
    Metric(
        "brier",
        "Brier score (0 to 2)",
        "squared distance of the class probabilities from the truth, mean, 0 to 2",
        "all",
        higher_is_better=False,
    ),
    Metric(
        "ece",
        "Calibration error (ECE)",
        "mean gap between confidence and accuracy over ten bins",
        "all",
        higher_is_better=False,
    ),
)
PER_CLASS = (
    Metric(
        f"sensitivity_{_CLASS}",
        f"Sensitivity for {_CLASS}",
        "fraction whose top class is this one",
        _CLASS,
    ),
    Metric(
        f"specificity_{_CLASS}",
        f"Specificity for {_CLASS}",
        "fraction whose top class is another",
        f"not {_CLASS}",
    ),
)
"""One per class; those of malignant are computed by subgroup too."""

_BY_NAME = {one.name: one for one in METRICS}


def metric(name: str) -> Metric:
    """Return a metric's declaration, including `sensitivity_<class>` and `specificity_<class>`.

    >>> metric("lesion_dice").title
    'Lesion Dice'

    Raises:
        KeyError: there is no such metric.
    """
    for one in PER_CLASS:
        prefix = one.name.removesuffix(_CLASS)
        if name.startswith(prefix) and name != prefix:
            said = name.removeprefix(prefix)
            title, images = (text.replace(_CLASS, said) for text in (one.title, one.images))
            by_subgroup = said == "malignant"
            return replace(one, name=name, title=title, images=images, by_subgroup=by_subgroup)
    return _BY_NAME[name]


BY_SUBGROUP = (
    *(one.name for one in METRICS if one.by_subgroup),
    "sensitivity_malignant",
    "specificity_malignant",
)
"""The metrics that are computed for every subgroup with images for them."""


def known(classes: Sequence[str]) -> list[str]:
    """Names of all metrics that a model with these classes can have, sorted."""
    by_class = [one.name.replace(_CLASS, name) for one in PER_CLASS for name in classes]
    return sorted([*_BY_NAME, *by_class])


def higher_is_better(name: str) -> bool:
    """Return the direction of a metric; KeyError if there is no such metric."""
    return metric(name).higher_is_better
