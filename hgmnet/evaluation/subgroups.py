"""Subgroups of images, to compare a model's performance between them.

By class, by the true lesion's fraction of the image, by the image's size, by whether marks are
burned in, and by the source's other columns (device, BI-RADS, tissue).

The bounds divide BUSI in about three: a third of its lesions cover less than 3.2 % of the
image and a third more than 10.4 %; a quarter of its images have less than 0.258 megapixels and a
third more than 0.357.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from hgmnet.data.image_quality import COLOUR
from hgmnet.data.image_record import ImageRecord

OWN = ("label", "lesion_size", "image_size", "overlays", "colour")
"""The columns of every data set, in this order; a source's column of the same name is ignored."""

MANY = 12  # a source's column with more values makes no subgroups (a name, an age, a date)

_LESION_SHARES = (0.03, 0.10)  # below the first a lesion is small, from the second on large
_IMAGE_PIXELS = (250_000, 350_000)  # the same for an image
_SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Part:
    """The rows of per_image.csv whose images have `value` in `column`."""

    column: str
    value: str
    table: pd.DataFrame


def subgroup_values(record: ImageRecord, further: Mapping[str, str]) -> dict[str, str]:
    """Return an image's value in each column; without a lesion it has no `lesion_size`.

    `further`: the source's other columns, of which an empty one is `not stated`.
    """
    pixels = record.width * record.height
    own = {
        "label": record.label,
        "image_size": _size(pixels, _IMAGE_PIXELS),
        "overlays": "with" if record.marks else "without",
        "colour": "with" if record.colour_share > COLOUR else "without",
    }
    if record.mask_pixels:
        own["lesion_size"] = _size(record.mask_pixels / pixels, _LESION_SHARES)
    stated = {column: text.strip() or "not stated" for column, text in further.items()}
    return {column: text for column, text in stated.items() if column not in OWN} | own


def parts(table: pd.DataFrame, by_image: Mapping[str, Mapping[str, str]]) -> Iterator[Part]:
    """Divide the rows of per_image.csv by every column that distinguishes images.

    A column with one value is omitted, and a source's column with more than 12. `by_image`: the
    `subgroup_values` of every image.
    """
    known = [by_image[image] for image in table["image"]]
    named = {column for row in known for column in row}
    for column in [*(own for own in OWN if own in named), *sorted(named - set(OWN))]:
        cells = [row.get(column) for row in known]
        values = sorted({cell for cell in cells if cell is not None})
        if column in {"lesion_size", "image_size"}:
            values.sort(key=_SIZES.index)
        if len(values) < 2 or (column not in OWN and len(values) > MANY):
            continue
        for value in values:
            yield Part(column, value, table[[cell == value for cell in cells]])


def _size(value: float, bounds: tuple[float, float]) -> str:
    return _SIZES[sum(value >= bound for bound in bounds)]
