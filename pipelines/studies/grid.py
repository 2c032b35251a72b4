"""The grid of the ablation: what is taken from the full model, or put in another's place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from hgmnet.config import Gates, Model, Params
from hgmnet.errors import ConfigError
from hgmnet.interventions import Map

FULL = "full"
_ALONE = {"coarse": False, "shared_encoder": False}


@dataclass(frozen=True)
class Variant:
    """One row of the ablation.

    `name`: short, for `--only`. `title`: for the table. `changes`: of section `model`. `given`: the
    map that the trained model is judged with; such a row needs no training of its own.
    """

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    given: Map = "own"

    def params(self, params: Params) -> Params:
        """The settings with the changes put in, checked as params.yaml is."""
        model = Model.model_validate(params.model.model_dump() | dict(self.changes))
        return params.model_copy(update={"model": model})


SMOKE = (FULL, "gate-none", "map-truth", "unet")
"""What a smoke run trains."""


def grid(params: Params) -> tuple[Variant, ...]:
    """The rows for these settings, the full model first; what would equal it is left out.

    Raises:
        ConfigError: the settings are not of a full model, so there is nothing to take away.
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
    """What the map is worth to the trained model: nothing is trained for these."""
    return [
        Variant("map-shuffled", "P of another image, as judged", given="shuffled"),
        Variant("map-truth", "P = the truth, as judged", given="truth"),
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
