"""Settings of the data: data, phantom, validate, split, prepare."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import MALIGNANT, UNCLASSIFIED, Count, Fraction, Frozen, Name, Natural, Seed


class Data(Frozen):
    """The data set and its classes: `normal` has no lesion, `malignant` is the positive."""

    name: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if MALIGNANT not in self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: expected different names with `{MALIGNANT}` among them")
        if UNCLASSIFIED in self.classes:
            msg = f"classes: `{UNCLASSIFIED}` means that a model has no class; choose another name"
            raise ValueError(msg)
        return self


class Phantom(Frozen):
    """The synthetic data set: images per class, width and height in px, planted near-copies."""

    seed: Seed
    benign: Count
    malignant: Count
    normal: Count
    copies: Count
    width: Annotated[int, Field(ge=64, le=2048)]
    height: Annotated[int, Field(ge=64, le=2048)]


class Validate(Frozen):
    """The requirements for a data set before training.

    Image width and height in px; images per class; images of the largest class per image of the
    smallest; the fraction of an image that a lesion covers, and the number of parts of its mask;
    the fraction of all images that one patient may have.
    """

    min_side: Natural
    max_side: Natural
    min_per_class: Natural
    max_imbalance: Annotated[float, Field(ge=1)]
    min_lesion: Fraction
    max_lesion: Fraction
    max_lesion_parts: Natural
    patient_share: Fraction


class Fractions(Frozen):
    """Fractions of the images; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, val and test add up to {total:g}, not 1")
        return self


class Split(Frozen):
    """Settings for the assignment of groups.

    `conflicts`: the split of copies with contradictory labels. `max_lost`: the fraction of the
    images in splits that may be missing since the last time; more suggests an incomplete export.
    """

    seed: Seed
    fractions: Fractions
    conflicts: Literal["exclude", "train"]
    max_lost: Fraction


class Prepare(Frozen):
    """The network's square input: edge length in px, aspect ratio kept (letterbox) or stretched.

    No key may be named `size` or `nfiles`: DVC's run cache takes them for a file's and excludes
    them from its hash, so a change would restore the old outputs.
    """

    side: Natural
    fit: Literal["letterbox", "stretch"]
