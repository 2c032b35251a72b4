"""What must hold of the images of a data set, as a table and the rules that judge it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column

from hgmnet.config import Data, Validate
from hgmnet.data import duplicates
from hgmnet.data.duplicates import Pair
from hgmnet.data.record import Record
from pipelines.expectations import Rule, between, one_of
from pipelines.expectations_pixels import mask_rules, quality_rules

_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I;16N")
_KEPT = (
    *("image", "label", "error", "mode", "bit_depth"),
    *("mask_pixels", "masks_match", "masks_binary", "mask_parts", "mask_smallest", "mask_border"),
    *("intensity_std", "dark_share", "saturated_share", "colour_share", "marks"),
)


def image_table(records: Sequence[Record], pairs: Sequence[Pair]) -> pd.DataFrame:
    """What `image_rules` judges: a row an image that curation has not excluded.

    `copy_labels` are the labels of the image and its copies, joined by `and`. `twin` and `copy`
    name an image of the same pixels and one that is a changed copy, if there is any.
    `outnumbered`: the images of the largest class to one of its own.
    """
    judged = [record for record in records if not record.excluded]
    labels = duplicates.copy_labels(records, pairs)
    count = Counter(record.label for record in judged if not record.error)
    most = max(count.values(), default=0)
    twins, copies = _others(judged, pairs)
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
    )


def image_rules(data: Data, validate: Validate) -> tuple[Rule, ...]:
    """What must hold of the images of a data set before anything is trained on them.

    An image that can't be read is judged by that alone, and one of an unknown class by its class.
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
        *_class_rules(classes, known, validate),
    )


def _others(
    judged: Iterable[Record], pairs: Iterable[Pair]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """By image, the first other of the same pixels, and the first that is a changed copy."""
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
    yield Rule("every image can be read with its masks", one_of("error", [""]), tells=True)
    yield Rule(
        "every image has 8 or 16 bits a channel",
        one_of("bit_depth", [8, 16]),
        rows=known,
        tells=True,
    )
    yield Rule(
        "every image is grey or RGB",
        one_of("mode", _MODES),
        severity="warning",
        rows=known & Column("bit_depth").is_in([8, 16]),
        remedy="they are converted; look whether greys were lost, and export them anew as PNG",
        tells=True,
    )
    yield Rule(
        f"the shorter side is at least {validate.min_side} px",
        between("shorter_side", low=validate.min_side),
        rows=known,
        tells=True,
    )
    yield Rule(
        f"the longer side is at most {validate.max_side} px",
        between("longer_side", high=validate.max_side),
        rows=known,
        remedy="export the images alone, or raise validate.max_side in params.yaml",
        tells=True,
    )


def _identity_rules(classes: Sequence[str], known: Any) -> Iterator[Rule]:
    yield Rule(
        "copies of an image carry one label",
        one_of("copy_labels", classes),
        severity="warning",
        rows=known,
        remedy="split.conflicts in params.yaml says where they go",
        tells=True,
    )
    for column, meaning in (
        ("twin", "no two images have the same pixels"),
        ("copy", "no image is a changed copy of another"),
    ):
        yield Rule(
            meaning,
            one_of(column, [""]),
            severity="warning",
            rows=known,
            remedy="they stay on one side of the split",
            tells=True,
        )


def _class_rules(classes: Sequence[str], known: Any, validate: Validate) -> Iterator[Rule]:
    for name in classes:
        yield Rule(
            f"class {name} has at least {validate.min_per_class} usable images",
            partial(gxe.ExpectTableRowCountToBeBetween, min_value=validate.min_per_class),
            rows=known & (Column("label") == name),
            remedy="add images, or lower validate.min_per_class in params.yaml",
        )
    yield Rule(
        f"no class has more than {validate.max_imbalance:g} images to one of another",
        partial(
            gxe.ExpectColumnMaxToBeBetween,
            column="outnumbered",
            max_value=validate.max_imbalance,
        ),
        severity="warning",
        rows=known,
        remedy="add images of the rare class, or read its figures with care",
    )
