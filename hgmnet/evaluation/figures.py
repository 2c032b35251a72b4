"""Figures with intervals, and paired differences, from the rows of per_image.csv alone."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from hgmnet.config.base import MALIGNANT
from hgmnet.config.model import Model
from hgmnet.data import prepared
from hgmnet.evaluation.per_image import COUNTS, OUTLINES
from hgmnet.metrics import classification as scores
from hgmnet.metrics import segmentation
from hgmnet.metrics.bootstrap import (
    Figure,
    GroupBootstrap,
    Mean,
    Paired,
    Ratio,
    Statistic,
    paired,
    whole,
)


def figures(
    table: pd.DataFrame,
    classes: Sequence[str],
    draws: int,
    seed: int,
    *,
    model: Model,
    only: Collection[str] = (),
) -> dict[str, Figure]:
    """Compute every figure of `table`, rows of per_image.csv, with its 95 % interval.

    Tasks that the model does not learn have no figures. `only`: names of figures; empty: all.
    """
    return {
        name: GroupBootstrap(part["group"].tolist(), draws, seed).figure(of, proportion=proportion)
        for name, part, proportion, of in tasks(table, classes, model)
        if not only or name in only
    }


def compare(
    before: pd.DataFrame,
    after: pd.DataFrame,
    classes: Sequence[str],
    draws: int,
    seed: int,
    *,
    model: Model,
) -> dict[str, Paired]:
    """Compute every figure of two models on the same images, and its paired difference.

    Both tables are rows of per_image.csv in the same order. Figures whose images depend on the
    models (`pixel_precision`), and figures that can't be computed for both, are omitted.
    """
    tables = (table.reset_index(drop=True) for table in (before, after))
    both = [tasks(table, classes, model) for table in tables]
    found: dict[str, Paired] = {}
    for (name, part, _, one), (_, others, _, other) in zip(*both, strict=True):
        n = len(part)
        comparable = n and part.index.equals(others.index)
        if comparable and np.isfinite([whole(one, n), whole(other, n)]).all():
            found[name] = paired(part["group"].astype(str).tolist(), one, other, draws, seed)
    return found


Task = tuple[str, pd.DataFrame, bool, Statistic]
"""A figure's name, its rows, whether it is a proportion, and its statistic."""


def tasks(table: pd.DataFrame, classes: Sequence[str], model: Model) -> list[Task]:
    """List every figure of `table` (rows of per_image.csv), not yet computed."""
    found = list(_segmentation(table, coarse=model.coarse)) if model.segments else []
    return found + (list(_classification(table, classes)) if model.classifies else [])


def _segmentation(table: pd.DataFrame, *, coarse: bool) -> Iterator[Task]:
    lesion = table[table["tp"] + table["fn"] > 0]
    empty = table[table["tp"] + table["fn"] == 0]
    yield "lesion_dice", lesion, False, _dice(lesion, "")
    if coarse:
        yield "coarse_lesion_dice", lesion, False, _dice(lesion, "coarse_")
    yield "served_lesion_dice", lesion, False, _dice(lesion, "served_")
    yield "lesion_iou", lesion, False, Mean(segmentation.iou(*_counts(lesion, "")))
    yield "dice_all", table, False, _dice(table, "served_")
    yield from _pixels(lesion)
    for prefix in ("", "served_"):
        any_found = (empty[f"{prefix}fp"].to_numpy(float) > 0).astype(float)
        yield f"{prefix}normal_fp_rate", empty, True, Mean(any_found)
        yield from _lesions(table, prefix)


def _pixels(lesion: pd.DataFrame) -> Iterator[Task]:
    tp, fp, fn = (count.astype(float) for count in _counts(lesion, ""))
    said = lesion[tp + fp > 0]
    yield "pixel_sensitivity", lesion, False, Mean(tp / (tp + fn))
    yield "pixel_precision", said, False, Mean((tp / np.maximum(tp + fp, 1))[tp + fp > 0])
    yield "area_error", lesion, False, Mean(np.abs(fp - fn) / (tp + fn))
    for name in OUTLINES:
        if name in lesion:
            yield name, lesion, False, Mean(lesion[name].to_numpy(float))


def _lesions(table: pd.DataFrame, prefix: str) -> Iterator[Task]:
    if "lesions" not in table:
        return
    names = ["lesions", f"{prefix}found", f"{prefix}false_lesions"]
    true, found, false = (table[name].to_numpy(float) for name in names)
    some = true > 0
    yield f"{prefix}lesion_sensitivity", table[some], True, Ratio(found[some], true[some])
    yield f"{prefix}false_lesions", table, False, Mean(false)


def _classification(table: pd.DataFrame, classes: Sequence[str]) -> Iterator[Task]:
    label = prepared.class_indices(table["label"].tolist(), classes)
    predicted = prepared.class_indices(table["predicted"].tolist(), classes)
    decided = prepared.class_indices(table["decision"].tolist(), classes)
    probs = table[[f"prob_{name}" for name in classes]].to_numpy(dtype=float)
    malignant = list(classes).index(MALIGNANT)
    positive, score = label == malignant, probs[:, malignant]
    yield "accuracy", table, True, Mean((label == predicted).astype(float))
    yield "served_accuracy", table, True, Mean((label == decided).astype(float))
    yield "balanced_accuracy", table, True, scores.BalancedAccuracy(label, predicted)
    yield "macro_f1", table, False, scores.MacroF1(label, predicted, len(classes))
    yield "auroc_malignant", table, False, scores.Auroc(positive, score)
    yield "average_precision_malignant", table, False, scores.AveragePrecision(positive, score)
    yield "brier", table, False, Mean(scores.brier(label, probs))
    yield "ece", table, False, scores.CalibrationError(label == predicted, probs.max(axis=1))
    for i, name in enumerate(classes):
        yield from _by_class(table, name, label == i, predicted == i, "")
    yield from _by_class(table, MALIGNANT, positive, decided == malignant, "served_")


def _by_class(
    table: pd.DataFrame, name: str, truth: scores.Bools, said: scores.Bools, prefix: str
) -> Iterator[Task]:
    yield f"{prefix}sensitivity_{name}", table[truth], True, Mean(said[truth].astype(float))
    yield f"{prefix}specificity_{name}", table[~truth], True, Mean((~said[~truth]).astype(float))


def _dice(part: pd.DataFrame, prefix: str) -> Mean:
    return Mean(segmentation.dice(*_counts(part, prefix)))


def _counts(part: pd.DataFrame, prefix: str) -> tuple[prepared.Counts, ...]:
    return tuple(part[prefix + name].to_numpy(dtype=np.int64) for name in COUNTS[:3])
