"""pccp.yaml: the predetermined change control plan, in machine-readable form.

After FDA, "Marketing Submission Recommendations for a Predetermined Change Control Plan for
Artificial Intelligence-Enabled Device Software Functions" (2024): changes allowed without a new
review, changes not allowed, requirements for a changed model, and when to validate it again. A
plan belongs to a registered model (`registry.name`). A clause is named by its path in the plan,
such as `fixed.classes`.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import Fraction, Frozen, Name, Natural, load_settings
from hgmnet.config.evaluation import Check
from hgmnet.config.model import Tasks


class Span(Frozen):
    """Range from `min` to `max`, both included."""

    min: float
    max: float

    def __contains__(self, value: float) -> bool:
        """Whether the value is within."""
        return self.min <= value <= self.max

    def __str__(self) -> str:
        return f"{self.min:g} to {self.max:g}"

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class NewData(Frozen):
    """More images of the same kind: the data sets that the model may be trained on."""

    sets: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)]


class Retraining(Frozen):
    """Retraining: allowed encoders (`*`: any letters) and image sizes."""

    encoders: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    side: Span

    def knows(self, encoder: str) -> bool:
        """Whether the encoder is allowed."""
        return any(fnmatchcase(encoder, pattern) for pattern in self.encoders)


class Thresholds(Frozen):
    """Operating points within these spans; `min_area` is a fraction of the image."""

    malignant: Span
    mask: Span
    min_area: Span


class Allowed(Frozen):
    """Changes allowed without a new review."""

    data: NewData
    retraining: Retraining
    thresholds: Thresholds


class Input(Frozen):
    """The model's input: `modality` is for readers, `channels` are the encoders'."""

    modality: str
    channels: Literal["grey", "rgb"]


class Fixed(Frozen):
    """Properties that may not change without a new review."""

    classes: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)]
    tasks: Tasks
    input: Input


class Revalidate(Frozen):
    """When a model must be validated again, even within the plan.

    `openings_above`: more test evaluations make figures too optimistic. `drifted_share_above`: with
    a larger fraction of drifted columns, new images differ too much from the training images.
    `months`: since the version was made. `new_values_in`: columns of raw/images.csv (`device`) in
    which a value that the training images lack requires a new validation.
    `served_sensitivity_below`: sensitivity for malignant of served answers, on labels known later
    (`hgmnet flow monitoring --log --labels`); None: not asked.
    """

    openings_above: Natural
    drifted_share_above: Fraction
    months: Natural
    new_values_in: Annotated[tuple[str, ...], Field(strict=False)]
    served_sensitivity_below: Fraction | None = None


class Protocol(Frozen):
    """Modification protocol, in a person's words; empty: not written, and named as missing."""

    data: str = ""
    retraining: str = ""
    evaluation: str = ""
    update: str = ""


class Impact(Frozen):
    """Impact assessment, in a person's words; empty: not written, and named as missing.

    `combined`: of several modifications together.
    """

    benefits: str = ""
    risks: str = ""
    mitigations: str = ""
    combined: str = ""


class ChangePlan(Frozen):
    """The plan of one registered model; `acceptance`: params.yaml may be stricter, not weaker.

    `modifications`: a person's description of them and of their reasons.
    """

    intended_use: Annotated[str, Field(min_length=1)]
    modifications: str = ""
    protocol: Protocol = Protocol()
    impact: Impact = Impact()
    allowed: Allowed
    fixed: Fixed
    acceptance: Annotated[tuple[Check, ...], Field(min_length=1, strict=False)]
    revalidate: Revalidate


class ChangePlans(Frozen):
    """All of pccp.yaml: `plans` by the name of the registered model."""

    version: Literal[1]
    plans: dict[Name, ChangePlan]


def load_plans(path: Path) -> ChangePlans:
    """Read pccp.yaml; ConfigError, naming every invalid key, if it is missing or invalid."""
    return load_settings(path, ChangePlans, "git checkout pccp.yaml, or write one: docs/gate.md")
