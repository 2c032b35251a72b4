"""pccp.yaml: the predetermined change control plan, in a form that a machine can hold a model to.

After FDA, "Marketing Submission Recommendations for a Predetermined Change Control Plan for
Artificial Intelligence-Enabled Device Software Functions" (2024): what may change without a new
review, what may not, what a changed model must reach, and when it must be validated again. A plan
belongs to a registered model (`registry.name`). A clause is named by where it stands in the plan,
as `fixed.classes`.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import Fraction, Frozen, Name, Natural, load_settings
from hgmnet.config.evaluation import Check
from hgmnet.config.model import Tasks


class Span(Frozen):
    """From `min` to `max`, both included."""

    min: float
    max: float

    def __contains__(self, value: float) -> bool:
        """Whether the value lies in it."""
        return self.min <= value <= self.max

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.min > self.max:
            msg = f"min {self.min:g} is above max {self.max:g}"
            raise ValueError(msg)
        return self


class NewData(Frozen):
    """More images of the same kind: the data sets that the model may be made from."""

    sets: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)]


class Retraining(Frozen):
    """Weights found again: encoders of these names (`*`: any letters), at these sides."""

    encoders: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    side: Span

    def knows(self, encoder: str) -> bool:
        """Whether the encoder is one of them."""
        return any(fnmatchcase(encoder, pattern) for pattern in self.encoders)


class Thresholds(Frozen):
    """Operating points within these spans; `min_area` is a share of the image."""

    malignant: Span
    mask: Span
    min_area: Span


class Allowed(Frozen):
    """What may change without a new review."""

    data: NewData
    retraining: Retraining
    thresholds: Thresholds


class Input(Frozen):
    """What the model is given: `modality` is for people, `channels` are the encoders'."""

    modality: str
    channels: Literal["grey", "rgb"]


class Fixed(Frozen):
    """What may not change without a new review."""

    classes: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)]
    tasks: Tasks
    input: Input


class Revalidate(Frozen):
    """When a model must be validated again, though it may be inside the plan.

    `openings_above`: the test split was looked at so often that its figures flatter.
    `drifted_share_above`: of the columns by which new images are compared with the training images.
    `months`: since the version was made. `new_values_in`: columns of raw/images.csv (`device`) in
    which a value that the training images did not have counts as new.
    """

    openings_above: Natural
    drifted_share_above: Fraction
    months: Natural
    new_values_in: Annotated[tuple[str, ...], Field(strict=False)]


class ChangePlan(Frozen):
    """The plan of one registered model; `acceptance`: what params.yaml may tighten, not loosen."""

    intended_use: Annotated[str, Field(min_length=1)]
    allowed: Allowed
    fixed: Fixed
    acceptance: Annotated[tuple[Check, ...], Field(min_length=1, strict=False)]
    revalidate: Revalidate


class ChangePlans(Frozen):
    """The whole of pccp.yaml: `plans` by the name of the registered model."""

    version: Literal[1]
    plans: dict[Name, ChangePlan]


def load_plans(path: Path) -> ChangePlans:
    """Read pccp.yaml.

    Raises:
        ConfigError: it is absent or is not what it must be; the message names every key.
    """
    return load_settings(path, ChangePlans, "git checkout pccp.yaml, or write one: docs/gate.md")
