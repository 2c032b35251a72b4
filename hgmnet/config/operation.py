"""Settings of the operation: registry, promotion, flows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import Frozen, Name, Positive, Seed


class Registry(Frozen):
    """The MLflow registered model, one per data set; `approval`: a person approves promotions."""

    name: Name
    approval: bool


Compared = Literal["served_lesion_dice", "accuracy", "served_sensitivity_malignant"]
"""Figures for the comparison of two versions: final ones, and of the most probable class."""


class Promotion(Frozen):
    """When a challenger replaces the champion.

    `margins`: the maximum loss allowed in each figure. `primary`: the figure, one of them, that
    must be better. `min_groups`: figures on fewer groups are not compared, because an interval
    on them says nothing. `draws`, `seed`: of the paired bootstrap.
    """

    primary: Compared
    margins: dict[Compared, Positive]
    min_groups: Annotated[int, Field(ge=1)]
    draws: Annotated[int, Field(ge=1000)]
    seed: Seed

    @model_validator(mode="after")
    def _among(self) -> Self:
        if self.primary not in self.margins:
            raise ValueError(f"primary: {self.primary} is not among margins; give it one")
        return self


Stage = Literal[
    "ingest", "validate", "split", "prepare", "train", "calibrate", "evaluate", "gate", "report"
]
"""DVC stages that a flow runs after the data, in order; `register` follows without DVC."""
Timed = Literal["default", "pull", Stage, "publish"]
"""Steps with their own time limit in `flow.timeout_minutes`."""
Block = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]


class Flow(Frozen):
    """Settings of the flows.

    `timeout_minutes`: the time limit of each stage, by its name; `default` is for those not named
    and for the data itself. `notify`: Prefect's notification blocks, such as `slack-webhook/ops`;
    their secrets stay there.
    """

    timeout_minutes: dict[Timed, Positive]
    notify: Annotated[tuple[Block, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _rest(self) -> Self:
        if "default" not in self.timeout_minutes:
            raise ValueError("timeout_minutes: default is missing")
        return self

    def limit_s(self, stage: str) -> float:
        """Return a stage's time limit in seconds."""
        named = {str(name): minutes for name, minutes in self.timeout_minutes.items()}
        return 60 * named.get(stage, named["default"])
