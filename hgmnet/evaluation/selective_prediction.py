"""Evaluation of uncertainty as a predictor of errors, from the rows of per_image.csv alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hgmnet.calibration.operating_point import aurc
from hgmnet.config.model import Model
from hgmnet.evaluation.figures import figures
from hgmnet.metrics import segmentation
from hgmnet.metrics.bootstrap import Figure

Floats = NDArray[np.float64]
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
FIGURES = (
    "lesion_dice",
    "served_normal_fp_rate",
    "accuracy",
    "auroc_malignant",
    "served_accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
)
PARTS = ("uncertainty", "class_entropy", "mask_disagreement")
AT_RANDOM = "at_random"


def most_confident(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Select the fraction of images of least uncertainty, rounded up, in order; ties go by name."""
    order = table.sort_values(["uncertainty", "image"], kind="stable").index
    count = int(np.ceil(share * len(table) - 1e-9))
    return table.loc[table.index.isin(order[:count])]


def coverage(
    table: pd.DataFrame, classes: Sequence[str], draws: int, seed: int, *, model: Model
) -> dict[float, dict[str, Figure]]:
    """Figures of the most confident 100, 90, ... 50 % of the images, with 95 % intervals."""
    shares = {share: most_confident(table, share) for share in SHARES}
    return {
        share: figures(part, classes, draws, seed, model=model, only=FIGURES)
        for share, part in shares.items()
    }


def errors(table: pd.DataFrame, model: Model) -> Floats:
    """The error of each prediction, (N,) in [0, 1].

    The mean of two: 1 if the most probable class is not the true one, and 1 - Dice of the final
    mask (0 if it and the truth are empty). For a model of one task, the error of that task.
    """
    parts: list[Floats] = []
    if model.classifies:
        wrong = table["predicted"] != table["label"]
        parts.append(np.asarray(wrong, dtype=np.float64))
    if model.segments:
        counts = (table[f"served_{name}"].to_numpy(dtype=np.int64) for name in ("tp", "fp", "fn"))
        parts.append(1 - segmentation.dice(*counts))
    return np.asarray(np.mean(parts, axis=0))


def risk_areas(table: pd.DataFrame, model: Model) -> dict[str, float]:
    """Area under the risk-coverage curve for each ordering of the images; smaller is better."""
    wrong = errors(table, model)
    areas = {
        name: aurc(table[name].to_numpy(dtype=float), wrong)
        for name in PARTS
        if name in table.columns and table[name].notna().all()
    }
    return areas | {AT_RANDOM: float(wrong.mean())}
