"""Subgroups of images, to find where a model is better and worse.

By class, by the true lesion's share of the image, by the image's size, by whether marks are burned
in, and by the source's other columns (device, BI-RADS, tissue).

The bounds divide BUSI in about three: a third of its lesions cover less than 3.2 % of the
image and a third more than 10.4 %; a quarter of its images have less than 0.258 megapixels and a
third more than 0.357.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hgmnet.data.image_record import ImageRecord

LESION_SHARES = (0.03, 0.10)
"""Of the image: below the first a lesion is small, from the second on it is large."""

IMAGE_PIXELS = (250_000, 350_000)
"""Below the first an image is small, from the second on it is large."""

OWN = ("label", "lesion_size", "image_size", "overlays")
"""The columns of every data set, in this order; a source's column of the same name is ignored."""

MANY = 12
"""A source's column with more values makes no subgroups (a name, an age, a date)."""

UNSTATED = "not stated"
"""The value of an empty cell."""

_SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Part:
    """The rows of per_image.csv whose images have `value` in `column`."""

    column: str
    value: str
    table: pd.DataFrame


def subgroup_values(record: ImageRecord, further: Mapping[str, str]) -> dict[str, str]:
    """The value of an image in each column; without a lesion it has no `lesion_size`.

    Args:
        record: its row of the manifest.
        further: the source's other columns.
    """
    pixels = record.width * record.height
    own = {
        "label": record.label,
        "image_size": _size(pixels, IMAGE_PIXELS),
        "overlays": "with" if record.marks else "without",
    }
    if record.mask_pixels:
        own["lesion_size"] = _size(record.mask_pixels / pixels, LESION_SHARES)
    told = {column: text.strip() or UNSTATED for column, text in further.items()}
    return {column: text for column, text in told.items() if column not in OWN} | own


def parts(table: pd.DataFrame, by_image: Mapping[str, Mapping[str, str]]) -> Iterator[Part]:
    """Divide the rows of per_image.csv by every column that distinguishes images.

    A column with one value is left out, and a source's column with more than 12.

    Args:
        table: of one split, with a column `image`.
        by_image: the `subgroup_values` of every image in it.
    """
    known = [by_image[image] for image in table["image"]]
    for column in _columns(known):
        cells = [row.get(column) for row in known]
        values = _ordered(column, {cell for cell in cells if cell is not None})
        if len(values) < 2 or (column not in OWN and len(values) > MANY):
            continue
        for value in values:
            yield Part(column, value, table[[cell == value for cell in cells]])


def _size(value: float, bounds: tuple[float, float]) -> str:
    return _SIZES[sum(value >= bound for bound in bounds)]


def _columns(known: Sequence[Mapping[str, str]]) -> list[str]:
    named = {column for row in known for column in row}
    return [*(own for own in OWN if own in named), *sorted(named - set(OWN))]


def _ordered(column: str, values: set[str]) -> list[str]:
    """Sizes by size, all others by name."""
    if column in {"lesion_size", "image_size"}:
        return [size for size in _SIZES if size in values]
    return sorted(values)
