"""The manifest: a row an image, with everything that is computed from its bytes."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hgmnet.config import Frozen
from hgmnet.data import busi, images, marks, quality, sidecar
from hgmnet.data.sidecar import Entry
from hgmnet.errors import InvalidDataError


class Record(Frozen):
    """One image of a data set.

    `image` and `masks` are POSIX paths below raw/; `image` is unique. `label` is the class folder's
    name, whatever it is. Where `error` is not empty the image, one of its masks or their pairing
    could not be read; what could not be computed is then 0, false or empty.

    `pixel_sha256`: of width, height and the decoded RGB pixels, so that a re-encoded file keeps it.
    `mask_pixels`: pixels in the union of all masks, at native size. `masks_match`: every mask has
    the image's size. `masks_binary`: every mask holds only 0 and 255; both are true without a
    mask. `intensity_*`: grey, 0-255. `bit_depth`: bits a channel. `*_share`: of the image's pixels,
    0 to 1: too dark to show anything, at full white, coloured. `marks`: letters, calipers and the
    like that were drawn into it. `mask_parts`, `mask_smallest`: how many parts the union of all
    masks has, and the pixels of the smallest. `mask_border`: share of the image's border in it.
    `patient`, `pixel_mm`: from images.csv; empty and 0 where unknown.
    `group`: images that are copies or frames of one scene share it. `excluded`: curation's reason.
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
    masks_binary: bool
    intensity_mean: float
    intensity_std: float
    bit_depth: int
    dark_share: float
    saturated_share: float
    colour_share: float
    marks: int
    mask_parts: int
    mask_smallest: int
    mask_border: float
    patient: str
    pixel_mm: float
    group: str
    excluded: str
    error: str

    @property
    def name(self) -> str:
        """The file's stem: with the pixels' hash, what an image is known by."""
        return self.image.rpartition("/")[2].rpartition(".")[0]


class Grouped(Frozen):
    """Of a record what others need to split the same images as we do: files, pixels, group."""

    image: str
    pixel_sha256: str
    label: str
    group: str


def build(raw: Path) -> list[Record]:
    """Read every image and mask below raw/, several at once.

    A file that can't be read becomes a record with an `error`, never an exception. Each image is a
    group of its own and nothing is excluded: `hgmnet.data.duplicates` and curation know more.

    Returns:
        Records sorted by image.

    Raises:
        InvalidDataError: there is no folder, or no image in it, or its images.csv is not what it
            must be.
    """
    samples = busi.scan(raw)
    known = sidecar.read(raw, (sample.image for sample in samples))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(_record, raw, known), samples))


_NO_LESION = {"mask_pixels": 0, "mask_parts": 0, "mask_smallest": 0, "mask_border": 0.0}
_UNREAD: dict[str, Any] = {
    "width": 0,
    "height": 0,
    "mode": "",
    "pixel_sha256": "",
    "masks_match": False,
    "masks_binary": False,
    "intensity_mean": 0.0,
    "intensity_std": 0.0,
    "bit_depth": 0,
    "dark_share": 0.0,
    "saturated_share": 0.0,
    "colour_share": 0.0,
    "marks": 0,
    **_NO_LESION,
}


def _record(raw: Path, known: Mapping[str, Entry], sample: busi.Sample) -> Record:
    errors = [sample.error] if sample.error else []
    facts = _UNREAD
    for measure in (_image_facts, _mask_facts):
        try:
            facts = facts | measure(raw, sample, facts)
        except (InvalidDataError, OSError) as error:
            errors.append(str(error))
    entry = known.get(sample.image)
    return Record(
        image=sample.image,
        label=sample.label,
        masks=sample.masks,
        patient=entry.patient if entry else "",
        pixel_mm=entry.pixel_mm if entry else 0.0,
        group=sample.image,
        excluded="",
        error="; ".join(errors),
        **facts,
    )


def _image_facts(raw: Path, sample: busi.Sample, _: dict[str, Any]) -> dict[str, Any]:
    image = images.decode((raw / sample.image).read_bytes(), sample.image)
    grey = images.to_grey(image.rgb)
    return {
        "width": grey.shape[1],
        "height": grey.shape[0],
        "mode": image.mode,
        "pixel_sha256": images.pixel_sha256(image.rgb),
        "intensity_mean": round(float(grey.mean()), 4),
        "intensity_std": round(float(grey.std()), 4),
        "bit_depth": quality.bit_depth(image.mode),
        "dark_share": round(quality.dark_share(grey), 6),
        "saturated_share": round(quality.saturated_share(grey), 6),
        "colour_share": round(quality.colour_share(image.rgb), 6),
        "marks": marks.count_marks(grey),
    }


def _mask_facts(raw: Path, sample: busi.Sample, image: dict[str, Any]) -> dict[str, Any]:
    if not sample.masks:
        return _NO_LESION | {"masks_match": True, "masks_binary": True}
    masks = [images.decode_mask((raw / path).read_bytes(), path) for path in sample.masks]
    alike = len({mask.shape for mask in masks}) == 1
    return {
        "masks_match": alike and masks[0].shape == (image["height"], image["width"]),
        "masks_binary": all(((m == 0) | (m == 255)).all() for m in masks),
        **(_lesion_facts(np.logical_or.reduce([m > 127 for m in masks])) if alike else _NO_LESION),
    }


def _lesion_facts(lesion: busi.Mask) -> dict[str, Any]:
    areas = quality.part_areas(lesion)
    return {
        "mask_pixels": sum(areas),
        "mask_parts": len(areas),
        "mask_smallest": min(areas, default=0),
        "mask_border": round(quality.border_share(lesion), 6),
    }
