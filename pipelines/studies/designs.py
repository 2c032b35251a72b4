"""Designs of the studies that train on folds: cross-validation, leakage, learning curve, ablation.

Each has the name of its command, and raises ConfigError if a class has fewer images than there are
folds. The limits of its conclusions are in templates/<name>.txt.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, get_args

from hgmnet.config.model import Gates, Model
from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.errors import ConfigError
from hgmnet.inference.maps import Map
from hgmnet.pages.html import lines
from hgmnet.splitting.cross_validation import JUDGED, OUT, Sides, subsample_training_groups
from pipelines.studies.definition import FoldAssignment, Size, Study, StudyPart, StudyRun, assign

FULL = "full"


def crossval(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Evaluate each image of train and val once, by a model that never saw it."""
    params = size.of(params)
    assigned = assign(store, params, size)
    return Study(
        name="crossval",
        title="Cross-validation",
        question="What does this recipe reach on images that its models have not seen?",
        cells=tuple(
            StudyRun(FULL, fold, seed, params, assigned.sides(fold))
            for seed, fold in size.runs(params)
        ),
        variants={FULL: "the settings of params.yaml"},
        reference=None,
        notes=lines(__file__, "crossval.txt"),
        size=size,
    )


SHARES = (0.10, 0.25, 0.50, 0.75, 1.00)
FEW = (0.50, 1.00)
"""Fractions of a smoke run."""


def curve(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Train on growing, nested fractions of the training groups."""
    params = size.of(params)
    assigned = assign(store, params, size)
    names = {f"{100 * share:.0f} %": share for share in (FEW if size.smoke else SHARES)}
    whole, seed = [assigned.sides(fold) for fold in range(size.folds)], params.split.seed

    def part(fold: int, share: float) -> Sides:
        return subsample_training_groups(assigned.entries, whole[fold], share, seed)

    cells = tuple(
        StudyRun(name, fold, seed, params, part(fold, share))
        for seed, fold in size.runs(params)
        for name, share in names.items()
    )
    counts = {
        name: fmean(cell.count("train") for cell in cells if cell.variant == name) for name in names
    }
    return Study(
        name="curve",
        title="Learning curve",
        question="Would more training images help, and how much did the last ones?",
        cells=cells,
        variants={
            name: f"{name} of the groups, {count:.0f} images" for name, count in counts.items()
        },
        reference=[*names][-1],
        notes=lines(__file__, "curve.txt"),
        size=size,
        steps=counts,
    )


GROUPED, NAIVE = "grouped", "naive"
SOME, ALONE = "images with others of their group", "images alone in their group"


def leakage(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Measure the optimism of a split by image, compared with a split by group."""
    params = size.of(params)
    ways = {
        GROUPED: assign(store, params, size),
        NAIVE: assign(store, params, size, grouped=False),
    }
    return Study(
        name="leakage",
        title="Leakage of a split by image",
        question="How much do figures rise if groups of near-duplicates are split?",
        cells=tuple(
            StudyRun(way, fold, seed, params, assigned.sides(fold), leaky=not assigned.grouped)
            for seed, fold in size.runs(params)
            for way, assigned in ways.items()
        ),
        variants={GROUPED: "groups kept whole", NAIVE: "assigned image by image"},
        reference=GROUPED,
        notes=lines(__file__, "leakage.txt"),
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


_TITLES = {
    "none": "no gate",
    "self": "gate without the map (self)",
    "free": "gate not tied to the map (free)",
    "tied": "gate tied to the map",
}


@dataclass(frozen=True)
class Variant:
    """One row of the ablation.

    `name`: value for `--only`. `title`: for the table. `changes`: of section `model`. `given`: the
    map used at evaluation; a row with another map than its own needs no training.
    """

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    given: Map = "own"

    def params(self, params: Params) -> Params:
        """Return the settings with the changes applied and validated."""
        model = Model.model_validate(params.model.model_dump() | dict(self.changes))
        return params.model_copy(update={"model": model})


SMOKE = (FULL, "gate-none", "map-truth", "unet")
"""Variants of a smoke run."""


def grid(params: Params) -> tuple[Variant, ...]:
    """Return the variants, the full model first; ConfigError if params are not of a full model."""
    model = params.model
    if not model.coarse or model.tasks != "joint" or model.gate == "none":
        raise ConfigError(
            "the ablation starts from the full model: set model.coarse: true, model.tasks: joint "
            "and a model.gate other than none"
        )
    alone: dict[str, Any] = {"coarse": False, "shared_encoder": False}
    bare = alone | {"gate": "none", "deep_supervision": False}
    deep = not model.deep_supervision
    word = "with" if deep else "without"
    return (
        Variant(FULL, f"full model, gate {model.gate}"),
        Variant("map-shuffled", "P of another image, at evaluation", given="shuffled"),
        Variant("map-truth", "P = the truth, at evaluation", given="truth"),
        *(
            Variant(f"gate-{form}", _TITLES.get(form, f"gate {form}"), {"gate": form})
            for form in get_args(Gates)
            if form != model.gate
        ),
        Variant("fine-only", "fine net alone, gate without a map", alone | {"gate": "self"}),
        Variant("unet", "multi-task U-Net", bare),
        Variant("segmentation", "segmentation alone", {"tasks": "segmentation"}),
        Variant("classification", "classification alone", bare | {"tasks": "classification"}),
        Variant(f"deep-{word}", f"{word} deep supervision", {"deep_supervision": deep}),
    )


def ablation(store: PreparedDataset, params: Params, size: Size, only: Sequence[str] = ()) -> Study:
    """Remove or replace each part of the model, on the same folds and seeds.

    `only`: names of variants; empty: the whole grid. The full model is always included.

    Raises:
        ConfigError: also if params are not of a full model, or a name in `only` is unknown.
    """
    params = size.of(params)
    rows = grid(params)
    only = only or (SMOKE if size.smoke else ())
    names = [row.name for row in rows]
    if strange := [name for name in only if name not in names]:
        raise ConfigError(f"--only {strange[0]}: expected one of {', '.join(names)}")
    chosen = [row for row in rows if not only or row.name in {FULL, *only}]
    assigned = assign(store, params, size)
    sides = [assigned.sides(fold) for fold in range(size.folds)]
    return Study(
        name="ablation",
        title="Ablation",
        question="What is each part of the model worth?",
        cells=tuple(
            StudyRun(one.name, fold, seed, one.params(params), sides[fold], one.given)
            for seed, fold in size.runs(params)
            for one in chosen
        ),
        variants={one.name: one.title for one in chosen},
        reference=FULL,
        notes=lines(__file__, "ablation.txt"),
        size=size,
    )
