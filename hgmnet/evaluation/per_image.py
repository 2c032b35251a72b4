"""Rows of per_image.csv: the counts of one image at its original resolution."""

from collections.abc import Sequence

from hgmnet.config.model import Model
from hgmnet.data.prepared import PreparedImage
from hgmnet.data.resize import Mask
from hgmnet.inference.postprocess import Prediction
from hgmnet.metrics import segmentation
from hgmnet.metrics.segmentation import find_lesions, surface_distances

MASKS = ("", "coarse_", "served_")
COUNTS = ("tp", "fp", "fn", "tn")
OUTLINES = ("hd95", "nsd")
LESIONS = ("lesions", "found", "false_lesions", "served_found", "served_false_lesions")


def image_row(
    entry: PreparedImage, finding: Prediction, truth: Mask, model: Model
) -> dict[str, str | int | float]:
    """Build a row of per_image.csv: the image's identity, its counts at original size, the class.

    There are three sets of pixel counts: of the fine net's mask, `coarse_` of the coarse net's, and
    `served_` of the final mask, after minimum area and the consistency rules. `hd95` and `nsd` are
    of the fine net's mask, if there is a lesion. `decided` and `large` are the class and whether
    the mask reaches the minimum area, both before those rules. Columns of other tasks are omitted.
    """
    row: dict[str, str | int | float] = entry.model_dump(exclude={"masks"})
    if model.segments:
        row |= _mask_columns(finding, truth, coarse=model.coarse)
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
    """Columns of per_image.csv, in order; a cell without a value is empty."""
    known = [name for name in PreparedImage.model_fields if name != "masks"]
    counts = [prefix + name for prefix in MASKS for name in COUNTS]
    said = ["predicted", "decision", "decided", "large"]
    unsure = ["class_entropy", "mask_disagreement", "uncertainty", "refer"]
    probs = [f"prob_{name}" for name in classes]
    return [*known, *counts, *OUTLINES, *LESIONS, *said, *unsure, *probs]


def _mask_columns(finding: Prediction, truth: Mask, *, coarse: bool) -> dict[str, int | float]:
    row: dict[str, int | float] = {}
    masks = (finding.raw_mask, finding.coarse_mask, finding.mask)
    for prefix, mask in zip(MASKS, masks, strict=True):
        if prefix != "coarse_" or coarse:
            counts = segmentation.count_pixels(mask, truth)
            row |= {prefix + name: count for name, count in zip(COUNTS, counts, strict=True)}
    if truth.any():
        distance = surface_distances(finding.raw_mask, truth)
        row |= {"hd95": round(distance.hd95, 4), "nsd": round(distance.nsd, 6)}
    raw, served = (find_lesions(mask, truth) for mask in (finding.raw_mask, finding.mask))
    lesions = (raw.lesions, raw.found, raw.false, served.found, served.false)
    return row | dict(zip(LESIONS, lesions, strict=True))
