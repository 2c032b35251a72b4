"""The promotion rule: whether one model is better than another on the same images.

A difference is challenger minus champion, paired by image, resampled by group. The bounds of its
one-sided 95 % intervals decide (non-inferiority within a margin, then superiority of the primary).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hgmnet.config.base import MALIGNANT
from hgmnet.config.operation import Promotion
from hgmnet.metrics import segmentation
from hgmnet.metrics.bootstrap import Mean, Paired, paired

Verdict = Literal["better", "not worse", "worse", "undecided"]
ORDER: tuple[Verdict, ...] = ("worse", "undecided", "not worse", "better")
"""Verdicts, from the worst to the best."""


@dataclass(frozen=True)
class Comparison:
    """Every compared figure by name, the verdict, and the margins of the rule.

    `too_few`: number of groups, by name, of figures that rest on too few to be compared.
    """

    figures: Mapping[str, Paired]
    margins: Mapping[str, float]
    verdict: Verdict
    too_few: Mapping[str, int] = field(default_factory=dict)


def compare(champion: pd.DataFrame, challenger: pd.DataFrame, rule: Promotion) -> Comparison:
    """Compare two models by their rows of per_image.csv, of the same images in the same order.

    Raises:
        ValueError: the rows are of other images.
    """
    if champion["pixel_sha256"].tolist() != challenger["pixel_sha256"].tolist():
        raise ValueError("expected rows of the same images in the same order")
    groups = challenger["group"].astype(str).to_numpy()
    found: dict[str, Paired] = {}
    too_few: dict[str, int] = {}
    margins: Mapping[str, float] = {str(name): bound for name, bound in rule.margins.items()}
    for name in margins:
        before, after = _values(name, champion), _values(name, challenger)
        there = np.isfinite(after)
        count = len(set(groups[there]))
        if count < rule.min_groups:
            too_few[name] = count
        else:
            both = Mean(before[there]), Mean(after[there])
            found[name] = paired(groups[there].tolist(), *both, rule.draws, rule.seed)
    return Comparison(found, margins, judge(found, margins, rule.primary), too_few)


def judge(figures: Mapping[str, Paired], margins: Mapping[str, float], primary: str) -> Verdict:
    """Return the verdict on the differences; undecided if a figure could not be compared.

    Better: every lower bound is above minus its margin, and the primary's above 0. Not worse: every
    lower bound is above minus its margin, > 0. Worse: an upper bound is below 0.
    """
    kept = all(name in figures and figures[name].lower > -margins[name] for name in margins)
    if kept and figures[primary].lower > 0:
        return "better"
    if kept:
        return "not worse"
    if any(figure.upper < 0 for figure in figures.values()):
        return "worse"
    return "undecided"


def _values(name: str, rows: pd.DataFrame) -> NDArray[np.float64]:
    """One value per image; NaN for an image that the figure excludes."""
    if name == "accuracy":
        return np.asarray(rows["label"] == rows["predicted"], dtype=float)
    if name == "served_sensitivity_malignant":
        decided = np.asarray(rows["decision"] == MALIGNANT, dtype=float)
        return np.where(rows["label"] == MALIGNANT, decided, np.nan)
    if name != "served_lesion_dice":
        raise ValueError(f"no rule compares {name}: add a branch here")
    counts = [rows[f"served_{part}"].to_numpy(dtype=np.int64) for part in ("tp", "fp", "fn")]
    return np.where(counts[0] + counts[2] > 0, segmentation.dice(*counts), np.nan)
