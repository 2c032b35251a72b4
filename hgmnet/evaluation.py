"""From findings to figures: a row of counts an image, and every figure from the rows alone."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd

from hgmnet import metrics
from hgmnet.config import MALIGNANT, Model
from hgmnet.data.resample import Mask
from hgmnet.data.store import Entry
from hgmnet.figure import Figure
from hgmnet.inference import Finding
from hgmnet.statistics import GroupBootstrap, Mean, Rows

MASKS = ("", "coarse_", "served_")
COUNTS = ("tp", "fp", "fn", "tn")
UNSURE = ("class_entropy", "mask_disagreement", "uncertainty", "refer")


def image_row(
    entry: Entry, finding: Finding, truth: Mask, model: Model
) -> dict[str, str | int | float]:
    """One row of per_image.csv: who the image is, pixel counts at native size, class and probs.

    Counts come thrice: of the fine net's mask, `coarse_` of the coarse net's, and `served_` of the
    mask after minimum area and the consistency rules. `decided` and `large` are the class and
    whether the mask reaches the minimum area, both before those rules. What the model does not tell
    is left out.
    """
    row: dict[str, str | int | float] = entry.model_dump(exclude={"masks"})
    masks = (finding.raw_mask, finding.coarse_mask, finding.mask)
    for prefix, mask in zip(MASKS, masks, strict=True):
        if not model.segments or (prefix == "coarse_" and not model.coarse):
            continue
        counts = metrics.count_pixels(mask, truth)
        row |= {prefix + name: count for name, count in zip(COUNTS, counts, strict=True)}
    row |= {"predicted": finding.predicted, "decision": finding.decision}
    row |= {"decided": finding.decided, "large": finding.large}
    if model.classifies:
        row["class_entropy"] = round(finding.class_entropy, 6)
    if model.segments:
        row["mask_disagreement"] = round(finding.mask_disagreement, 6)
    row |= {"uncertainty": round(finding.uncertainty, 6), "refer": finding.refer}
    probs = finding.probs if model.classifies else {}
    return row | {f"prob_{name}": round(prob, 6) for name, prob in probs.items()}


def columns(classes: Sequence[str]) -> list[str]:
    """The columns of per_image.csv, in order; a cell is empty where the model tells nothing."""
    known = [name for name in Entry.model_fields if name != "masks"]
    counts = [prefix + name for prefix in MASKS for name in COUNTS]
    said = ["predicted", "decision", "decided", "large", *UNSURE]
    return [*known, *counts, *said, *(f"prob_{name}" for name in classes)]


def figures(
    table: pd.DataFrame,
    classes: Sequence[str],
    draws: int,
    seed: int,
    *,
    model: Model,
    only: Collection[str] = (),
) -> dict[str, Figure]:
    """Every figure of the images in `table` (rows of per_image.csv), with its 95 % interval.

    Args:
        table: of one split.
        classes: their names.
        draws: of the bootstrap.
        seed: of the bootstrap.
        model: what it learns; of the rest there are no figures.
        only: names of figures; empty: all.
    """
    found: dict[str, Figure] = {}
    tasks = _segmentation(table, coarse=model.coarse) if model.segments else []
    tasks += _classification(table, classes) if model.classifies else []
    for name, part, proportion, statistic in tasks:
        if only and name not in only:
            continue
        bootstrap = GroupBootstrap(part["group"].tolist(), draws, seed)
        found[name] = bootstrap.figure(statistic, proportion=proportion)
    return found


Task = tuple[str, pd.DataFrame, bool, Callable[[Rows], float]]


def _segmentation(table: pd.DataFrame, *, coarse: bool) -> list[Task]:
    lesion = table[table["tp"] + table["fn"] > 0]
    empty = table[table["tp"] + table["fn"] == 0]

    def dice(part: pd.DataFrame, prefix: str = "") -> Callable[[Rows], float]:
        return Mean(metrics.dice(*(_ints(part, prefix + name) for name in COUNTS[:3])))

    def any_found(prefix: str) -> Callable[[Rows], float]:
        return Mean((_ints(empty, f"{prefix}fp") > 0).astype(float))

    overlap = metrics.iou(*(_ints(lesion, name) for name in COUNTS[:3]))
    return [
        ("lesion_dice", lesion, False, dice(lesion)),
        *([("coarse_lesion_dice", lesion, False, dice(lesion, "coarse_"))] if coarse else []),
        ("served_lesion_dice", lesion, False, dice(lesion, "served_")),
        ("lesion_iou", lesion, False, Mean(overlap)),
        ("dice_all", table, False, dice(table, "served_")),
        ("normal_fp_rate", empty, True, any_found("")),
        ("served_normal_fp_rate", empty, True, any_found("served_")),
    ]


def _classification(table: pd.DataFrame, classes: Sequence[str]) -> list[Task]:
    label = metrics.class_indices(table["label"].tolist(), classes)
    predicted = metrics.class_indices(table["predicted"].tolist(), classes)
    decided = metrics.class_indices(table["decision"].tolist(), classes)
    probs = table[[f"prob_{name}" for name in classes]].to_numpy(dtype=float)
    malignant = list(classes).index(MALIGNANT)
    present = [i for i in range(len(classes)) if (label == i).any()]

    def balanced(rows: Rows) -> float:
        return float(
            np.mean([metrics.recall(label[rows] == i, predicted[rows] == i) for i in present])
        )

    tasks: list[Task] = [
        ("accuracy", table, True, Mean((label == predicted).astype(float))),
        ("served_accuracy", table, True, Mean((label == decided).astype(float))),
        ("balanced_accuracy", table, True, balanced),
        (
            "macro_f1",
            table,
            False,
            lambda r: metrics.macro_f1(label[r], predicted[r], len(classes)),
        ),
        (
            "auroc_malignant",
            table,
            False,
            lambda r: metrics.auroc(label[r] == malignant, probs[r, malignant]),
        ),
        (
            "ece",
            table,
            False,
            lambda r: metrics.expected_calibration_error(
                label[r] == predicted[r], probs[r].max(axis=1)
            ),
        ),
    ]
    for i, name in enumerate(classes):
        tasks += _by_class(table, name, label == i, predicted == i, "")
    return tasks + _by_class(table, MALIGNANT, label == malignant, decided == malignant, "served_")


def _by_class(
    table: pd.DataFrame, name: str, truth: metrics.Bools, said: metrics.Bools, prefix: str
) -> list[Task]:
    return [
        (f"{prefix}sensitivity_{name}", table[truth], True, Mean(said[truth].astype(float))),
        (f"{prefix}specificity_{name}", table[~truth], True, Mean((~said[~truth]).astype(float))),
    ]


def _ints(table: pd.DataFrame, column: str) -> metrics.Counts:
    return table[column].to_numpy(dtype=np.int64)
