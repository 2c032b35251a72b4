"""Validation rules for images, masks and their pixels, and the table that they check."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column
from ruamel.yaml import YAML

from hgmnet.config.base import NORMAL
from hgmnet.config.data import Data, Validate
from hgmnet.data.image_quality import COLOUR
from hgmnet.data.image_record import ImageRecord
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from pipelines.validation.expectations import Rule, between, broken_lines, check, one_of

_RULES = YAML(typ="safe", pure=True).load(Path(__file__).with_name("image_rules.yaml"))
_NEAR_BLANK = 5.0  # standard deviation of grey (0-255) below which an image is almost blank
_BORDER = 0.5  # fraction of the border above which a mask is probably inverted
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
    """Rules that the images of a data set must meet before training: image_rules.yaml.

    An unreadable image breaks only that rule, and one of an unknown class only the class rule.
    """
    classes = sorted(data.classes)
    rows, settings = _rows(classes), validate.model_dump() | {"classes": classes, "colour": COLOUR}
    names = {"class": classes, "lesion class": [name for name in classes if name != NORMAL]}
    texts = settings | {"classes": ", ".join(classes)}
    rules = []
    for rule in _RULES:
        some = rows[rule["rows"]] if "rows" in rule else None
        given = {key: rule[key] for key in ("severity", "remedy", "shows_value") if key in rule}
        for name in names.get(rule.get("each", ""), [""]):
            meaning = rule["meaning"].format(**texts, name=name)
            where = some & (Column("label") == name) if name else some
            rules.append(Rule(meaning, _expectation(rule, settings), rows=where, **given))
    return tuple(rules)


def _rows(classes: Sequence[str]) -> dict[str, Any]:
    """Conditions on the rows of `image_table`, by name."""
    readable = Column("error") == ""
    known = readable & Column("label").is_in(classes)
    lesion = readable & Column("label").is_in([name for name in classes if name != NORMAL])
    matching = Column("masks_match") == True  # noqa: E712
    drawn = lesion & (Column("mask_pixels") > 0) & matching
    return {
        "readable": readable,
        "known": known,
        "whole": known & Column("bit_depth").is_in([8, 16]),
        "normal": readable & (Column("label") == NORMAL),
        "lesion": lesion,
        "masked": readable & (Column("mask_count") > 0) & Column("label").is_in(classes),
        "outlined": lesion & (Column("mask_count") > 0) & matching,
        "drawn": drawn,
        "within": drawn & (Column("mask_border") <= _BORDER),
        "uneven": known & (Column("intensity_std") > 0),
        "visible": known & (Column("intensity_std") >= _NEAR_BLANK),
    }


def _expectation(rule: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    def bound(key: str) -> Any:
        stated = rule.get(key)
        return settings.get(stated, stated) if isinstance(stated, str) else stated

    column = rule.get("column", "")
    if "count" in rule:
        return partial(gxe.ExpectTableRowCountToBeBetween, min_value=bound("count"))
    if "unique" in rule:
        return partial(gxe.ExpectColumnValuesToBeUnique, column=rule["unique"])
    if "distinct" in rule:
        unique = gxe.ExpectColumnUniqueValueCountToBeBetween
        return partial(unique, column=column, min_value=rule["distinct"])
    if "least" in rule or "most" in rule:
        most, least = bound("most"), bound("least")
        largest = gxe.ExpectColumnMaxToBeBetween
        return partial(largest, column=column, min_value=least, max_value=most)
    if "values" in rule:
        return one_of(column, bound("values"))
    return between(column, bound("low"), bound("high"))


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


def _is_placeholder(patient: str) -> bool:
    word = re.sub(r"[\W_]+", "", patient).casefold()
    return word in _PLACEHOLDERS or bool(re.fullmatch(r"0*|x+", word))


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
