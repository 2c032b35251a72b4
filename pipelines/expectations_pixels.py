"""What must hold of the pixels of images and masks: rules for `pipelines.expectations_images`."""

from collections.abc import Iterator, Sequence
from typing import Any

from great_expectations.expectations.row_conditions import Column

from hgmnet.config import NORMAL, Validate
from pipelines.expectations import Rule, between, one_of

NEAR_BLANK = 5.0
"""Standard deviation of grey (0-255) below which an image shows next to nothing."""

DARK = 0.8
SATURATED = 0.2
"""Shares of pixels that show nothing, and at full white, above which an image is ill exposed."""

COLOUR = 0.005
"""Share of coloured pixels from which an image is no plain B-mode."""

SPECK = 10
"""Pixels below which a part of a mask is a slip of the hand."""

BORDER = 0.5
"""Share of an image's border above which what is painted is no lesion but what lies around it."""

_LOOK = "look at them, and exclude them in curation.csv if they mislead"


def mask_rules(classes: Sequence[str], readable: Any, validate: Validate) -> Iterator[Rule]:
    """Of masks: that they are there, fit their image, and show what a lesion may look like.

    Args:
        classes: the known ones, sorted.
        readable: the condition on rows that can be read.
        validate: the bounds.
    """
    lesion = readable & Column("label").is_in([name for name in classes if name != NORMAL])
    masked = readable & (Column("mask_count") > 0) & Column("label").is_in(classes)
    drawn = lesion & (Column("mask_pixels") > 0) & (Column("masks_match") == True)  # noqa: E712
    within = drawn & (Column("mask_border") <= BORDER)
    yield Rule(
        "every image of a lesion class has a mask",
        between("mask_count", low=1),
        rows=lesion,
        remedy="put <image>_mask.png beside it, or exclude it in curation.csv",
    )
    yield Rule("every mask has its image's size", one_of("masks_match", [True]), rows=masked)
    yield Rule(
        "every mask holds only black and white (0 and 255)",
        one_of("masks_binary", [True]),
        rows=masked,
    )
    yield Rule(
        "every mask of a lesion class shows a lesion",
        between("mask_pixels", low=1),
        rows=lesion & (Column("mask_count") > 0) & (Column("masks_match") == True),  # noqa: E712
    )
    yield Rule(
        f"no image of class {NORMAL} has a lesion in its mask",
        between("mask_pixels", high=0),
        rows=readable & (Column("label") == NORMAL),
    )
    yield Rule(
        "no mask takes in most of its image's border",
        between("mask_border", high=BORDER),
        rows=drawn,
        remedy="if black and white are exchanged there, turn the masks over",
        tells=True,
    )
    for name in sorted(set(classes) - {NORMAL}):
        yield Rule(
            f"lesions of class {name} cover {validate.min_lesion:g} to {validate.max_lesion:g} "
            "of the image",
            between("mask_share", validate.min_lesion, validate.max_lesion),
            severity="warning",
            rows=within & (Column("label") == name),
            remedy=_LOOK,
            tells=True,
        )
    yield Rule(
        f"a mask has at most {validate.max_lesion_parts} parts",
        between("mask_parts", high=validate.max_lesion_parts),
        severity="warning",
        rows=within,
        remedy=_LOOK,
        tells=True,
    )
    yield Rule(
        f"no mask has a stray part of fewer than {SPECK} px",
        between("mask_smallest", low=SPECK),
        severity="warning",
        rows=within,
        remedy="paint the stray pixels black; they count as lesion",
        tells=True,
    )


def quality_rules(known: Any) -> Iterator[Rule]:
    """Of pictures: that they show tissue and nothing else; `known`: the condition on rows."""
    visible = known & (Column("intensity_std") >= NEAR_BLANK)
    yield Rule(
        "no image is one even grey",
        between("intensity_std", low=1e-6),
        rows=known,
    )
    yield Rule(
        "no image is next to blank",
        between("intensity_std", low=NEAR_BLANK),
        severity="warning",
        rows=known & (Column("intensity_std") > 0),
        remedy="look at them, and exclude them in curation.csv if they show nothing",
        tells=True,
    )
    for column, bound, meaning in (
        ("dark_share", DARK, f"no image is black on more than {DARK:g} of its pixels"),
        ("saturated_share", SATURATED, f"no image is white on more than {SATURATED:g} of them"),
        ("colour_share", COLOUR, "no image has colour (Doppler, elastography, tinted greys)"),
        ("marks", 0, "no image has burned-in marks (text, calipers, pictograms)"),
    ):
        yield Rule(
            meaning,
            between(column, high=bound),
            severity="warning",
            rows=visible,
            remedy=_LOOK,
            tells=True,
        )
