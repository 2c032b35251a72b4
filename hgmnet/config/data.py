"""Settings of the data: data, phantom, validate, split, prepare.

There are no defaults here on purpose: DVC sees a change only in what stands in params.yaml.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import MALIGNANT, UNCLASSIFIED, Count, Fraction, Frozen, Name, Natural, Seed


class Data(Frozen):
    """Which data set and which classes: `normal` has no lesion, `malignant` is the positive."""

    name: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if MALIGNANT not in self.classes or len(set(self.classes)) != len(self.classes):
            msg = f"classes: expected different names with `{MALIGNANT}` among them"
            raise ValueError(msg)
        if UNCLASSIFIED in self.classes:
            msg = f"classes: `{UNCLASSIFIED}` means that a model gives no class; take another name"
            raise ValueError(msg)
        return self


class Phantom(Frozen):
    """The generated data set: images a class, sides in px, planted near-copies."""

    seed: Seed
    benign: Count
    malignant: Count
    normal: Count
    copies: Count
    width: Annotated[int, Field(ge=64, le=2048)]
    height: Annotated[int, Field(ge=64, le=2048)]


class Validate(Frozen):
    """What a data set must be to be trained on.

    Sides in px; images a class, and of the largest class to one of the smallest; the share of an
    image that a lesion covers, and the parts that its mask may have.
    """

    min_side: Natural
    max_side: Natural
    min_per_class: Natural
    max_imbalance: Annotated[float, Field(ge=1)]
    min_lesion: Fraction
    max_lesion: Fraction
    max_lesion_parts: Natural


class Fractions(Frozen):
    """Shares of the images; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            msg = f"train, val and test add up to {self.train + self.val + self.test:g}, not 1"
            raise ValueError(msg)
        return self


class Split(Frozen):
    """How groups are assigned.

    `conflicts`: where copies with contradictory labels go. `max_lost`: the share of the images on a
    side that may be gone since the last time; more looks like half an export.
    """

    seed: Seed
    fractions: Fractions
    conflicts: Literal["exclude", "train"]
    max_lost: Fraction


class Prepare(Frozen):
    """The square that the network sees: side in px, aspect ratio kept (letterbox) or stretched.

    No key may be called `size` or `nfiles`: DVC's run cache takes them for a file's and leaves them
    out of its hash, so that a change would bring back the old outputs.
    """

    side: Natural
    fit: Literal["letterbox", "stretch"]
