"""Ablation study: each part of the model removed or replaced, on the same folds and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from hgmnet.config.model import Gates, Model
from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset
from hgmnet.errors import ConfigError
from hgmnet.inference.maps import Map
from pipelines.studies.definition import Size, Study, StudyRun, assign, seeds, sized

FULL = "full"
_ALONE = {"coarse": False, "shared_encoder": False}


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
    """Return the variants, the full model first; variants equal to it are left out.

    Raises:
        ConfigError: the settings are not of a full model.
    """
    model = params.model
    if not model.coarse or model.tasks != "joint" or model.gate == "none":
        raise ConfigError(
            "the ablation starts from the full model: set model.coarse: true, model.tasks: joint "
            "and a model.gate other than none"
        )
    rows = [Variant(FULL, f"full model, gate {model.gate}"), *_maps(), *_gates(model)]
    return (*rows, *_nets(), *_tasks(), _deep(model))


def _maps() -> list[Variant]:
    """Variants that replace the trained model's map at evaluation; they need no training."""
    return [
        Variant("map-shuffled", "P of another image, at evaluation", given="shuffled"),
        Variant("map-truth", "P = the truth, at evaluation", given="truth"),
    ]


def _gates(model: Model) -> list[Variant]:
    titles = {
        "none": "no gate",
        "self": "gate without the map (self)",
        "free": "gate not tied to the map (free)",
        "tied": "gate tied to the map",
    }
    return [
        Variant(f"gate-{form}", titles.get(form, f"gate {form}"), {"gate": form})
        for form in get_args(Gates)
        if form != model.gate
    ]


def _nets() -> list[Variant]:
    plain = {**_ALONE, "gate": "none", "deep_supervision": False}
    return [
        Variant("fine-only", "fine net alone, gate without a map", {**_ALONE, "gate": "self"}),
        Variant("unet", "multi-task U-Net", plain),
    ]


def _tasks() -> list[Variant]:
    bare = {**_ALONE, "gate": "none", "deep_supervision": False}
    return [
        Variant("segmentation", "segmentation alone", {"tasks": "segmentation"}),
        Variant("classification", "classification alone", {"tasks": "classification", **bare}),
    ]


def _deep(model: Model) -> Variant:
    word = "without" if model.deep_supervision else "with"
    changes = {"deep_supervision": not model.deep_supervision}
    return Variant(f"deep-{word}", f"{word} deep supervision", changes)


NOTES = (
    (
        "The settings were tuned for the full model or a similar one and are used for every "
        "variant: a variant that is worse might be better with settings tuned for it."
    ),
    (
        "P of another image and P = the truth replace the full model’s map at evaluation, after "
        "training; they change the gates and where the classifier pools. The second is not usable "
        "in practice: it is an upper bound for a better coarse net."
    ),
    (
        "The fine net alone and the multi-task U-Net have about half the weights of the full "
        "model, and their classifier pools over their own mask as the full model’s does over the "
        "coarse one."
    ),
    "Each single task is compared with the full model on its own figures alone.",
    (
        "An interval that includes 0 does not prove that nothing changes: `sees` in table.csv is "
        "the difference that this sample size detects with a power of 80 %."
    ),
)


def design(store: PreparedDataset, params: Params, size: Size, only: Sequence[str] = ()) -> Study:
    """Design the ablation: one run per variant, fold and seed.

    Args:
        store: the prepared images.
        params: settings of the full model.
        size: size of the study.
        only: names of variants; empty: the whole grid. The full model is always included.

    Raises:
        ConfigError: params are not of a full model, or a name in `only` is unknown.
    """
    params = sized(params, size)
    chosen = _chosen(grid(params), only or (SMOKE if size.smoke else ()))
    assigned = assign(store, params, size)
    sides = [assigned.sides(fold) for fold in range(size.folds)]
    cells = tuple(
        StudyRun(one.name, fold, seed, one.params(params), sides[fold], one.given)
        for seed in seeds(params, size)
        for fold in range(size.folds)
        for one in chosen
    )
    return Study(
        name="ablation",
        title="Ablation",
        question="What is each part of the model worth?",
        cells=cells,
        variants={one.name: one.title for one in chosen},
        reference=FULL,
        notes=NOTES,
        size=size,
    )


def _chosen(rows: Sequence[Variant], only: Sequence[str]) -> list[Variant]:
    names = [row.name for row in rows]
    if strange := [name for name in only if name not in names]:
        raise ConfigError(f"--only {strange[0]}: expected one of {', '.join(names)}")
    return [row for row in rows if not only or row.name in {FULL, *only}]
