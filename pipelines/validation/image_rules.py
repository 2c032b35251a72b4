"""Validation rules for images, masks and their pixels, and the table that they check."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column

from hgmnet.config.base import NORMAL
from hgmnet.config.data import Data, Validate
from hgmnet.data.image_quality import COLOUR
from hgmnet.data.image_record import ImageRecord
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import SIDES
from pipelines.validation.expectations import Rule, between, broken_lines, check, one_of

NEAR_BLANK = 5.0  # standard deviation of grey (0-255) below which an image is almost blank
DARK, SATURATED = 0.8, 0.2  # fractions of black and of white pixels above which it is badly exposed
SPECK = 10  # pixels below which a part of a mask is a drawing error
BORDER = 0.5  # fraction of the border above which a mask is probably inverted
_warning = partial(Rule, severity="warning", shows_value=True)
_LOOK = "check them, and exclude them in curation.csv if they mislead"


def mask_rules(classes: Sequence[str], readable: Any, validate: Validate) -> Iterator[Rule]:
    """Yield rules for masks: present, of their image's size, and plausible for a lesion.

    `readable`: condition on rows of readable images.
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
        one_of("mask_values", [""]),
        rows=masked,
        remedy="import again and state which values are a lesion (--mask-values 1, or labels for "
        "all but 0) or how bright it is (--mask-threshold 127), or exclude them in curation.csv",
        shows_value=True,
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
        remedy="if black and white are swapped, import again with --invert-masks",
        shows_value=True,
    )
    for name in sorted(set(classes) - {NORMAL}):
        yield _warning(
            f"lesions of class {name} cover {validate.min_lesion:g} to {validate.max_lesion:g} "
            "of the image",
            between("mask_share", validate.min_lesion, validate.max_lesion),
            rows=within & (Column("label") == name),
            remedy=_LOOK,
        )
    yield _warning(
        f"a mask has at most {validate.max_lesion_parts} parts",
        between("mask_parts", high=validate.max_lesion_parts),
        rows=within,
        remedy=_LOOK,
    )
    yield _warning(
        f"no mask has a stray part of fewer than {SPECK} px",
        between("mask_smallest", low=SPECK),
        rows=within,
        remedy="paint the stray pixels black; they count as lesion",
    )


def quality_rules(known: Any) -> Iterator[Rule]:
    """Yield rules for image quality; `known`: condition on rows of known classes."""
    visible = known & (Column("intensity_std") >= NEAR_BLANK)
    yield Rule("no image is one even grey", between("intensity_std", low=1e-6), rows=known)
    yield Rule(
        "the images use more than a tenth of the greys",
        partial(gxe.ExpectColumnMaxToBeBetween, column="intensity_max", min_value=26),
        rows=known & (Column("intensity_std") > 0),
        remedy="their true depth is less than their files state: import them again with --bits",
    )
    yield _warning(
        "no image is next to blank",
        between("intensity_std", low=NEAR_BLANK),
        rows=known & (Column("intensity_std") > 0),
        remedy="check them, and exclude them in curation.csv if they show nothing",
    )
    for column, bound, meaning in (
        ("dark_share", DARK, f"no image is black on more than {DARK:g} of its pixels"),
        ("saturated_share", SATURATED, f"no image is white on more than {SATURATED:g} of them"),
        ("colour_share", COLOUR, "no image has colour (Doppler, elastography, tinted greys)"),
        ("marks", 0, "no image has burned-in marks (text, calipers, pictograms)"),
    ):
        yield _warning(meaning, between(column, high=bound), rows=visible, remedy=_LOOK)


_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I;16N")
_REMOVED = (
    "anon anonym anonymised anonymized anonymous confidential deidentified deleted dummy empty "
    "hidden masked missing na nan nil noid noname none notavailable null patient private "
    "pseudonym redacted removed test unbekannt undefined unknown unnamed withheld"
)
_PLACEHOLDERS = frozenset(_REMOVED.split())
"""Words, without case and signs, that stand for a patient whose id was removed."""

_KEPT = (
    *("image", "label", "group", "error", "mode", "bit_depth"),
    *("mask_pixels", "masks_match", "mask_values", "mask_parts", "mask_smallest", "mask_border"),
    *("intensity_std", "intensity_max", "dark_share", "saturated_share", "colour_share", "marks"),
)


def image_table(
    records: Sequence[ImageRecord], pairs: Sequence[Pair], patient_share: float
) -> pd.DataFrame:
    """Make the table for `image_rules`: one row per image that curation has not excluded.

    `copy_labels`: labels of the image and its copies, joined by `and`. `twin`, `copy`: an image of
    the same pixels, and one that is a changed copy, or empty. `outnumbered`: ratio of the largest
    class's size to its own class's. `frequent`, `unnamed`: at a patient's first image, how many
    images that patient has if the fraction is above `patient_share`, and the patient if a word
    such as REDACTED stands for it; else empty.
    """
    judged = [record for record in records if not record.excluded]
    labels = duplicates.copy_labels(records, pairs)
    count = Counter(record.label for record in judged if not record.error)
    most = max(count.values(), default=0)
    twins, copies = _others(judged, pairs)
    images = Counter(record.patient for record in judged if record.patient)
    first = {record.patient: record.image for record in reversed(judged)}
    often = {
        first[patient]: f"{patient}: {number} of {len(judged)} images"
        for patient, number in images.items()
        if number > patient_share * len(judged)
    }
    unnamed = {first[patient]: patient for patient in images if _is_placeholder(patient)}
    table = pd.DataFrame({name: [getattr(r, name) for r in judged] for name in _KEPT})
    return table.assign(
        mask_count=[len(record.masks) for record in judged],
        mask_share=[r.mask_pixels / max(1, r.width * r.height) for r in judged],
        shorter_side=[min(record.width, record.height) for record in judged],
        longer_side=[max(record.width, record.height) for record in judged],
        copy_labels=[" and ".join(sorted(labels[record.image])) for record in judged],
        twin=[twins.get(record.image, "") for record in judged],
        copy=[copies.get(record.image, "") for record in judged],
        outnumbered=[most / max(1, count[record.label]) for record in judged],
        frequent=[often.get(record.image, "") for record in judged],
        unnamed=[unnamed.get(record.image, "") for record in judged],
    )


def image_rules(data: Data, validate: Validate) -> tuple[Rule, ...]:
    """Rules that the images of a data set must meet before training.

    An unreadable image breaks only that rule, and one of an unknown class only the class rule.
    """
    classes = sorted(data.classes)
    readable = Column("error") == ""
    known = readable & Column("label").is_in(classes)
    return (
        *_file_rules(known, validate),
        Rule(
            f"every class folder is one of {', '.join(classes)}",
            one_of("label", classes),
            rows=readable,
            remedy="rename the folder, or add it to data.classes in params.yaml",
        ),
        *mask_rules(classes, readable, validate),
        *quality_rules(known),
        *_identity_rules(classes, known),
        *_patient_rules(known, validate),
        *_class_rules(classes, known, validate),
    )


def _others(
    judged: Iterable[ImageRecord], pairs: Iterable[Pair]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """By image: the first other image with the same pixels, and the first changed copy."""
    names = {record.image for record in judged}
    twins: dict[str, str] = {}
    copies: dict[str, str] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.first, pair.second)):
        if pair.kind == "copy" and {pair.first, pair.second} <= names:
            found = twins if pair.transform == "identity" else copies
            found.setdefault(pair.second, pair.first)
            found.setdefault(pair.first, pair.second)
    return twins, copies


def _file_rules(known: Any, validate: Validate) -> Iterator[Rule]:
    yield Rule(
        "there is at least one image",
        partial(gxe.ExpectTableRowCountToBeBetween, min_value=1),
        remedy="import a data set: hgmnet import",
    )
    yield Rule(
        "no image is listed twice",
        partial(gxe.ExpectColumnValuesToBeUnique, column="image"),
        remedy="remake the manifest: dvc repro -f ingest",
    )
    yield Rule("every image can be read with its masks", one_of("error", [""]), shows_value=True)
    yield Rule(
        "every image has 8 or 16 bits a channel",
        one_of("bit_depth", [8, 16]),
        rows=known,
        shows_value=True,
    )
    yield _warning(
        "every image is grey or RGB",
        one_of("mode", _MODES),
        rows=known & Column("bit_depth").is_in([8, 16]),
        remedy="they are converted; check whether greys were lost, and export them again as PNG",
    )
    yield Rule(
        f"the shorter side is at least {validate.min_side} px",
        between("shorter_side", low=validate.min_side),
        rows=known,
        shows_value=True,
    )
    yield Rule(
        f"the longer side is at most {validate.max_side} px",
        between("longer_side", high=validate.max_side),
        rows=known,
        remedy="export the images alone, or raise validate.max_side in params.yaml",
        shows_value=True,
    )


def _identity_rules(classes: Sequence[str], known: Any) -> Iterator[Rule]:
    yield _warning(
        "copies of an image carry one label",
        one_of("copy_labels", classes),
        rows=known,
        remedy="split.conflicts in params.yaml sets how they are split",
    )
    for column, meaning in (
        ("twin", "no two images have the same pixels"),
        ("copy", "no image is a changed copy of another"),
    ):
        yield _warning(
            meaning, one_of(column, [""]), rows=known, remedy="they are kept in the same split"
        )


def _patient_rules(known: Any, validate: Validate) -> Iterator[Rule]:
    name = "give each patient an id, or leave it empty where it is unknown"
    yield Rule(
        f"there are at least {len(SIDES)} groups (patients, scenes) for train, val and test",
        partial(gxe.ExpectColumnUniqueValueCountToBeBetween, column="group", min_value=len(SIDES)),
        rows=known,
        remedy=f"{name}, then import again; or add images",
    )
    yield _warning(
        f"no patient has more than {validate.patient_share:.0%} of the images",
        one_of("frequent", [""]),
        rows=known,
        remedy="if that is one patient, its images stay in one split; if it is a word for all, "
        f"{name}",
    )
    yield _warning(
        "no word such as REDACTED or unknown stands for a patient",
        one_of("unnamed", [""]),
        rows=known,
        remedy=f"its images stay in one split as if they were one patient's; {name}",
    )


def _is_placeholder(patient: str) -> bool:
    word = re.sub(r"[\W_]+", "", patient).casefold()
    return word in _PLACEHOLDERS or bool(re.fullmatch(r"0*|x+", word))


def _class_rules(classes: Sequence[str], known: Any, validate: Validate) -> Iterator[Rule]:
    for name in classes:
        yield Rule(
            f"class {name} has at least {validate.min_per_class} usable images",
            partial(gxe.ExpectTableRowCountToBeBetween, min_value=validate.min_per_class),
            rows=known & (Column("label") == name),
            remedy="add images, or in params.yaml lower validate.min_per_class or remove the class "
            "from data.classes",
        )
    yield Rule(
        f"no class has more than {validate.max_imbalance:g} images to one of another",
        partial(
            gxe.ExpectColumnMaxToBeBetween, column="outnumbered", max_value=validate.max_imbalance
        ),
        severity="warning",
        rows=known,
        remedy="add images of the rare class, or read its figures with care",
    )


def critical_breaches(records: Sequence[ImageRecord], data: Data, validate: Validate) -> list[str]:
    """One line per critical expectation that images break, without near-duplicates."""
    with TemporaryDirectory() as docs:
        rules = image_rules(data, validate)
        outcomes = check(
            "images",
            image_table(records, (), validate.patient_share),
            "image",
            rules,
            Path(docs) / "pages",
        )
    return list(broken_lines(outcomes, "critical"))
