"""An image's row in the manifest, without the code that computes it."""

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from hgmnet.config.base import Frozen


class ImageRecord(Frozen):
    """One image of a data set.

    `image` and `masks` are POSIX paths below raw/; `image` is unique. `label` is the class folder's
    name. If `error` is not empty, the image, one of its masks or their pairing is invalid; values
    that could not be computed are then 0, false or empty.

    `pixel_sha256`: of width, height and the decoded RGB pixels, so that a re-encoded file keeps it.
    `mask_pixels`: pixels in the union of all masks, at original size. `masks_match`: every mask has
    the image's size. `mask_values`: values of masks that are not only 0 and 255, else empty.
    mask. `intensity_*`: grey, 0-255. `bit_depth`: bits per channel. `*_share`: fractions of all
    pixels, in [0, 1]: without signal, at full white, coloured. `marks`: number of burned-in
    letters, calipers and the like. `mask_parts`, `mask_smallest`: number of components of the
    masks' union, and pixels of the smallest. `mask_border`: fraction of the image's border in it.
    `source_name`, `patient`, `pixel_mm`: from images.csv; empty and 0 if unknown.
    `group`: shared by copies and frames of one scene. `excluded`: curation's reason.
    """

    image: str
    label: str
    masks: tuple[str, ...]
    width: int
    height: int
    mode: str
    pixel_sha256: str
    mask_pixels: int
    masks_match: bool
    mask_values: str
    intensity_mean: float
    intensity_std: float
    intensity_max: int
    bit_depth: int
    dark_share: float
    saturated_share: float
    colour_share: float
    marks: int
    mask_parts: int
    mask_smallest: int
    mask_border: float
    source_name: str
    patient: str
    pixel_mm: float
    group: str
    excluded: str
    error: str

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_release(cls, row: Any) -> Any:
        """Fill in the columns that a manifest of 0.1.0 lacks."""
        if not isinstance(row, Mapping) or "masks_binary" not in row:
            return row
        kept = {name: value for name, value in row.items() if name != "masks_binary"}
        return {"mask_values": "", "intensity_max": 255, "source_name": ""} | kept

    @property
    def name(self) -> str:
        """The file's stem; with the pixels' hash it identifies the image."""
        return self.image.rpartition("/")[2].rpartition(".")[0]


class Grouped(Frozen):
    """The fields needed to reproduce our split: files, pixels, group."""

    image: str
    pixel_sha256: str
    label: str
    group: str
