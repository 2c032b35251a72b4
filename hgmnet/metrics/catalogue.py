"""Scores from counts, with DESIGN's rules for empty masks, and what every figure is called."""

from collections.abc import Sequence

HIGHER_IS_BETTER = {
    "lesion_dice": True,
    "lesion_iou": True,
    "coarse_lesion_dice": True,
    "served_lesion_dice": True,
    "dice_all": True,
    "pixel_sensitivity": True,
    "pixel_precision": True,
    "hd95": False,
    "nsd": True,
    "area_error": False,
    "lesion_sensitivity": True,
    "served_lesion_sensitivity": True,
    "false_lesions": False,
    "served_false_lesions": False,
    "normal_fp_rate": False,
    "served_normal_fp_rate": False,
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "auroc_malignant": True,
    "average_precision_malignant": True,
    "served_accuracy": True,
    "served_sensitivity_malignant": True,
    "served_specificity_malignant": True,
    "brier": False,
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
