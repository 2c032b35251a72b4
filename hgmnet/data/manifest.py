"""The manifest: one row per image, with everything computed from its bytes."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hgmnet.data import folder_layout, image_quality, images, metadata
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.metadata import ImageMetadata
from hgmnet.data.progress import progress
from hgmnet.errors import InvalidDataError


def build(raw: Path) -> list[ImageRecord]:
    """Read every image and mask below raw/ in parallel; records are sorted by image.

    An unreadable file becomes a record with an `error`, never an exception. Each image is its own
    group and none is excluded; `hgmnet.splitting.pairs` and curation change that later.

    Raises:
        InvalidDataError: the folder is missing or has no image, or its images.csv is invalid.
    """
    samples = folder_layout.scan(raw)
    known = metadata.read(raw, (sample.image for sample in samples))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(partial(_record, raw, known), samples)
        return list(progress(read, "reading images", len(samples)))


_UNKNOWN: dict[str, Any] = {name: kind() for name, kind in ImageRecord.__annotations__.items()}
"""A record of 0, false and empty values, for those that can't be computed."""


def _record(
    raw: Path, known: Mapping[str, ImageMetadata], sample: folder_layout.Sample
) -> ImageRecord:
    errors = [sample.error] if sample.error else []
    facts = _UNKNOWN | sample.model_dump() | {"group": sample.image}
    for measure in (_image_facts, _mask_facts):
        try:
            facts = facts | measure(raw, sample, facts)
        except (InvalidDataError, OSError) as error:
            errors.append(str(error))
    if entry := known.get(sample.image):
        facts |= entry.model_dump(include={"source_name", "patient", "pixel_mm"})
    return ImageRecord.model_validate(facts | {"error": "; ".join(errors)})


def _image_facts(raw: Path, sample: folder_layout.Sample, _: dict[str, Any]) -> dict[str, Any]:
    image = images.decode((raw / sample.image).read_bytes(), sample.image)
    grey = images.to_grey(image.rgb)
    return {
        "width": grey.shape[1],
        "height": grey.shape[0],
        "mode": image.mode,
        "pixel_sha256": images.pixel_sha256(image.rgb),
        "intensity_mean": round(float(grey.mean()), 4),
        "intensity_std": round(float(grey.std()), 4),
        "intensity_max": int(grey.max()),
        "bit_depth": image_quality.bit_depth(image.mode),
        "dark_share": round(image_quality.dark_share(grey), 6),
        "saturated_share": round(image_quality.saturated_share(grey), 6),
        "colour_share": round(image_quality.colour_share(image.rgb), 6),
        "marks": image_quality.count_marks(grey),
    }


def _mask_facts(raw: Path, sample: folder_layout.Sample, image: dict[str, Any]) -> dict[str, Any]:
    if not sample.masks:
        return {"masks_match": True}
    masks = [images.decode_mask((raw / path).read_bytes(), path) for path in sample.masks]
    alike = len({mask.shape for mask in masks}) == 1
    facts = {
        "masks_match": alike and masks[0].shape == (image["height"], image["width"]),
        "mask_values": image_quality.stray_values(masks),
    }
    if not alike:
        return facts
    lesion = np.logical_or.reduce([mask > 127 for mask in masks])
    areas = image_quality.part_areas(lesion)
    return facts | {
        "mask_pixels": sum(areas),
        "mask_parts": len(areas),
        "mask_smallest": min(areas, default=0),
        "mask_border": round(image_quality.border_share(lesion), 6),
    }
