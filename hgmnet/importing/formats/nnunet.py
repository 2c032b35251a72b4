"""nnU-Net's raw layout: dataset.json beside imagesTr/ and labelsTr/, PNGs of one channel.

F. Isensee et al., "nnU-Net", Nature Methods 18, 2021; documentation/dataset_format.md there. The
class of an image is the label that its label image contains; without one it is normal.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from hgmnet.config.base import NORMAL
from hgmnet.data import images
from hgmnet.data.image_files import SUFFIXES
from hgmnet.data.reader import open_image
from hgmnet.errors import InvalidDataError
from hgmnet.importing.planned_image import Made, PlannedImage
from hgmnet.importing.source_files import Files

NAME, IMAGES = "dataset.json", "imagesTr"
"""The file and the folder that identify the layout."""

_CHANNEL = "_0000"
_NO_LESION = {"background", "ignore"}


def plan(path: PurePosixPath, document: Any, files: Files) -> tuple[list[PlannedImage], Made]:
    """Plan every case of imagesTr, and those of imagesTs that have a label image.

    Returns:
        The images, and their masks, which replace the label images.

    Raises:
        InvalidDataError: there are several channels, files are no images, or a label image has
            several labels or an unknown one.
    """
    names, ending = _labels(document, path), _ending(document, path)
    pictures, made = [], {}
    for source in sorted(files):
        subset = source.parent.name.removeprefix("images")
        if source.parent.parent != path.parent or subset not in {"Tr", "Ts"}:
            continue
        case = source.name.removesuffix(ending).removesuffix(_CHANNEL)
        truth = path.parent / f"labels{subset}" / f"{case}{ending}"
        if not source.name.endswith(ending) or (subset == "Ts" and truth not in files):
            continue
        label = NORMAL
        if truth in files:
            label, value = _label(files, truth, names)
            made[truth] = partial(_mask, files, truth, value)
        pictures.append(PlannedImage(source=source, label=label, stem=case, masks=(truth,)))
    return pictures, made


def _labels(document: Any, path: PurePosixPath) -> dict[int, str]:
    """Names by value; version 1 has them the other way round."""
    labels = document.get("labels") if isinstance(document, Mapping) else None
    if not isinstance(labels, Mapping) or not labels:
        raise InvalidDataError(f"{path} has no labels; expected such as {{'background': 0, ...}}")
    pairs = [(key, name) if str(key).isdigit() else (name, key) for key, name in labels.items()]
    if not all(str(value).isdigit() for value, _ in pairs):
        raise InvalidDataError(f"{path} has regions as labels; expected a number for each")
    return {int(value): str(name).lower() for value, name in pairs}


def _ending(document: Mapping[str, Any], path: PurePosixPath) -> str:
    channels = document.get("channel_names") or document.get("modality") or {"0": ""}
    ending = str(document.get("file_ending", ".nii.gz"))
    if not isinstance(channels, Mapping) or len(channels) > 1 or ending.lower() not in SUFFIXES:
        raise InvalidDataError(
            f"{path} has the channels {channels} in files that end in {ending}; expected one "
            "channel, as .png"
        )
    return ending


def _label(files: Files, truth: PurePosixPath, names: Mapping[int, str]) -> tuple[str, int]:
    """Return the class of a label image, and its value."""
    values = {int(value) for value in np.unique(_values(files, truth))}
    if strange := sorted(values - names.keys() - {0}):
        raise InvalidDataError(f"{truth} has the label {strange[0]}, which dataset.json lacks")
    lesions = [value for value in sorted(values - {0}) if names[value] not in _NO_LESION]
    if len(lesions) > 1:
        several = " and ".join(names[value] for value in lesions)
        raise InvalidDataError(f"{truth} has {several}; expected one class per image")
    return (names[lesions[0]], lesions[0]) if lesions else (NORMAL, -1)


def _mask(files: Files, truth: PurePosixPath, value: int, *_: int) -> bytes:
    return images.encode_mask(_values(files, truth) == value)


def _values(files: Files, truth: PurePosixPath) -> Any:
    return open_image(files[truth](), str(truth)).mask_values(0)
