"""COCO JSON: the class of an image is its annotations' category, its mask their union.

T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; the format is described at
https://cocodataset.org/#format-data. Polygons and RLE are drawn by pycocotools.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from hgmnet.config.base import NORMAL, Natural, problems
from hgmnet.data import images
from hgmnet.data.image_files import stem_of
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.importing.planned_image import Made, PlannedImage, locator
from hgmnet.importing.source_files import Files

KEYS = {"images", "annotations", "categories"}
"""The keys that identify the JSON."""

Id = int | str


class _Image(BaseModel):
    id: Id
    file_name: str
    width: Natural
    height: Natural


class _Category(BaseModel):
    id: Id
    name: str


class _Rle(BaseModel):
    size: tuple[int, int]
    counts: str | list[int]


class _Annotation(BaseModel):
    image_id: Id
    category_id: Id
    segmentation: list[list[float]] | _Rle = []


class _Document(BaseModel):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def plan(documents: Mapping[PurePosixPath, Any], files: Files) -> tuple[list[PlannedImage], Made]:
    """Plan one image per entry of `images`; one without annotations is normal.

    `documents`: the parsed JSON files, such as one for each split.

    Returns:
        The images, and their masks, to be read by paths that no file has.

    Raises:
        InvalidDataError: a JSON is no COCO, or an image has annotations of several categories, or
            one without a shape.
    """
    parsed = {path: _parsed(path, document) for path, document in documents.items()}
    stems = Counter(
        stem_of(PurePosixPath(image.file_name)).casefold()
        for document in parsed.values()
        for image in document.images
    )
    pictures, made = [], {}
    for path, document in parsed.items():
        locate = locator(_folders(path), files)
        names = {category.id: category.name for category in document.categories}
        drawn: dict[Id, list[_Annotation]] = {}
        for annotation in document.annotations:
            drawn.setdefault(annotation.image_id, []).append(annotation)
        for image in document.images:
            own, name = drawn.get(image.id, []), PurePosixPath(image.file_name.replace("\\", "/"))
            mask = path / str(image.id).replace("/", "_")
            if own:
                made[mask] = partial(_mask, own, image, f"{path}, {image.file_name}")
            whole = stems[stem_of(name).casefold()] > 1
            stem = "_".join([*name.parent.parts, stem_of(name)]) if whole else stem_of(name)
            label = _label(own, names, f"{path}: {image.file_name}")
            masks = (mask,) if own else ()
            source = locate(str(name))
            pictures.append(PlannedImage(source=source, label=label, stem=stem, masks=masks))
    return pictures, made


def _folders(path: PurePosixPath) -> list[PurePosixPath]:
    """Where the images may be: beside the JSON or its folder, also in `images`."""
    above = [path.parent, path.parent.parent]
    return [folder / inner for folder in above for inner in ("", "images")]


def _parsed(path: PurePosixPath, document: Any) -> _Document:
    try:
        return _Document.model_validate(document)
    except ValidationError as error:
        why = next(problems(error))
        raise InvalidDataError(f"{path} is no COCO file: {why}; export it again") from None


def _label(own: Iterable[_Annotation], names: Mapping[Id, str], where: str) -> str:
    ids = {annotation.category_id for annotation in own}
    if strange := ids - names.keys():
        raise InvalidDataError(f"{where} has a category {strange.pop()}, which `categories` lacks")
    labels = sorted({names[one].lower() for one in ids})
    if len(labels) > 1:
        msg = f"{where} has annotations of {' and '.join(labels)}; expected one class per image"
        raise InvalidDataError(msg)
    return labels[0] if labels else NORMAL


def _mask(own: Iterable[_Annotation], image: _Image, where: str, *_: int) -> bytes:
    """Draw the union of an image's annotations as a PNG file."""
    images.check_size(image.width, image.height, where)
    found = np.zeros((image.height, image.width), np.bool_)
    for annotation in own:
        found |= _drawn(annotation.segmentation, image, where)
    return images.encode_mask(found)


def _drawn(shape: list[list[float]] | _Rle, image: _Image, where: str) -> Any:
    """(H, W) bool; sizes are checked before pycocotools takes memory for them."""
    try:
        from pycocotools import mask as coco
    except ModuleNotFoundError:
        msg = f"{where} is a COCO mask, which needs pycocotools: pip install pycocotools"
        raise ConfigError(msg) from None
    size = image.height, image.width
    problem = _rle_problem(shape, size) if isinstance(shape, _Rle) else _problem(shape, size)
    if not problem:
        raw = shape.model_dump() if isinstance(shape, _Rle) else shape
        ready = isinstance(shape, _Rle) and isinstance(shape.counts, str)
        try:
            decoded = coco.decode(raw if ready else coco.frPyObjects(raw, *size)) > 0
            return decoded.any(axis=2) if decoded.ndim == 3 else decoded
        except (ValueError, TypeError) as error:
            problem = f"a mask that can't be drawn ({error})"
    raise InvalidDataError(f"{where} has {problem}; correct the annotation, or remove the image")


def _rle_problem(rle: _Rle, size: tuple[int, int]) -> str:
    if rle.size != size:
        return f"a mask of {rle.size[1]} × {rle.size[0]}, the image {size[1]} × {size[0]}"
    counts = rle.counts if isinstance(rle.counts, list) else [size[0] * size[1]]
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        return "counts that do not add up to its pixels"
    return ""


def _problem(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> str:
    if not polygons:
        return "an annotation without a shape (a box alone)"
    if any(len(points) < 6 or len(points) % 2 for points in polygons):
        return "a polygon of fewer than three points"
    if not all(abs(x) <= 2 * sum(size) for points in polygons for x in points):
        return "a polygon that leaves the image by far"
    return ""
