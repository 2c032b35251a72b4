"""Leakage study: the optimism of a split by image, compared with a split by group."""

from collections import Counter
from collections.abc import Sequence

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.splitting.cross_validation import JUDGED, OUT, Sides
from pipelines.studies.definition import (
    FoldAssignment,
    Size,
    Study,
    StudyPart,
    StudyRun,
    assign,
    seeds,
    sized,
)

GROUPED, NAIVE = "grouped", "naive"
SOME, ALONE = "images with others of their group", "images alone in their group"
NOTES = (
    (
        "Only the leak through near-duplicates is measured: copies and frames of one scene. "
        "Without patient identifiers, other images of one patient leak in both variants; the true "
        "leak is at least this one."
    ),
    (
        "Images alone in their group can't leak: their difference is the effect of another "
        "assignment alone. Compare the others’ difference with it."
    ),
    (
        "The size of a leak depends on data set, network and length of training: a network that "
        "memorises more gains more from it."
    ),
)


def design(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Design the study: one run per way of assigning images, fold and seed.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    params = sized(params, size)
    ways = {
        GROUPED: assign(store, params, size),
        NAIVE: assign(store, params, size, grouped=False),
    }
    cells = tuple(
        StudyRun(way, fold, seed, params, assigned.sides(fold), leaky=not assigned.grouped)
        for seed in seeds(params, size)
        for fold in range(size.folds)
        for way, assigned in ways.items()
    )
    return Study(
        name="leakage",
        title="Leakage of a split by image",
        question="How much do figures rise if groups of near-duplicates are split?",
        cells=cells,
        variants={GROUPED: "groups kept whole", NAIVE: "assigned image by image"},
        reference=GROUPED,
        notes=NOTES,
        facts=(_leaked(ways[NAIVE], size.folds),),
        size=size,
        parts=tuple(_parts(ways[GROUPED])),
    )


def leaked(entries: Sequence[PreparedImage], sides: Sides) -> int:
    """Count evaluated images with another image of their group in train or val."""
    seen = {e.group for e, side in zip(entries, sides, strict=True) if side not in {JUDGED, OUT}}
    return sum(e.group in seen for e, side in zip(entries, sides, strict=True) if side == JUDGED)


def _leaked(naive: FoldAssignment, folds: int) -> str:
    count = sum(leaked(naive.entries, naive.sides(fold)) for fold in range(folds))
    total = sum(fold >= 0 for fold in naive.folds)
    return (
        f"Assigned image by image, {count} of {total} images were evaluated by a model that had an "
        "image of their group in train or val; with groups kept whole, none."
    )


def _parts(grouped: FoldAssignment) -> list[StudyPart]:
    there = [e for e, fold in zip(grouped.entries, grouped.folds, strict=True) if fold >= 0]
    sizes = Counter(entry.group for entry in there)
    some = frozenset(entry.image for entry in there if sizes[entry.group] > 1)
    alone = frozenset(entry.image for entry in there) - some
    return [StudyPart(name, images) for name, images in ((SOME, some), (ALONE, alone)) if images]
