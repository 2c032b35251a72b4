"""Predictions of another method: a mask file per image, class probabilities in a table, or both."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from hgmnet.config.base import UNCLASSIFIED
from hgmnet.config.model import Model
from hgmnet.data.file_names import Names, composed, find_file
from hgmnet.data.masks import read_mask, read_truth
from hgmnet.data.prepared import PreparedImage
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.per_image import image_row
from hgmnet.inference.postprocess import Prediction

_MASK_NAMES = ("{stem}_mask.png", "{stem}.png")


@dataclass(frozen=True)
class OutsidePredictions:
    """`masks`: a file per image, `probs`: probabilities by image and class; empty if not given.

    `sha256`: of everything given, which identifies the method's output.
    """

    masks: Mapping[str, Path]
    probs: Mapping[str, Mapping[str, float]]
    sha256: str


def find_outside_predictions(
    images: Sequence[str], classes: Sequence[str], masks: Path | None, probabilities: Path | None
) -> OutsidePredictions:
    """Find the predictions for these images, POSIX paths such as `benign/scan 1.png`.

    `masks`: a folder with `<class>/<stem>_mask.png`, `<class>/<stem>.png`, or the same without the
    class; None for no masks. `probabilities`: a CSV with a column `image` or `file` and
    `prob_<class>` for each class; None for no classes.

    Raises:
        InvalidDataError: neither is given, or an image has no prediction.
    """
    if masks is None and probabilities is None:
        raise InvalidDataError("nothing to score: give --masks DIR, --probabilities CSV, or both")
    found = _find_masks(images, masks) if masks else {}
    probs = _read_probabilities(images, classes, probabilities) if probabilities else {}
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image} {probs.get(image, {})} ".encode())
        digest.update(found[image].read_bytes() if masks else b"")
    return OutsidePredictions(found, probs, digest.hexdigest())


def model_of(predictions: OutsidePredictions, template: Model) -> Model:
    """Model settings with the tasks of the method: they determine which figures there are."""
    tasks = "joint" if predictions.masks and predictions.probs else "segmentation"
    tasks = tasks if predictions.masks else "classification"
    single = {"coarse": False, "gate": "none", "shared_encoder": False, "deep_supervision": False}
    return template.model_copy(update={"tasks": tasks, **single})


def outside_rows(
    raw: Path, entries: Iterable[PreparedImage], predictions: OutsidePredictions, model: Model
) -> Iterator[dict[str, str | int | float]]:
    """Yield rows of per_image.csv: masks at original size, the class by the largest probability.

    `raw`: the folder of the images and true masks. `model`: from `model_of`.

    Raises:
        InvalidDataError: a mask can't be read, or has another size than its image.
    """
    for entry in entries:
        yield image_row(entry, _prediction(entry, predictions), read_truth(raw, entry), model)


def _prediction(entry: PreparedImage, predictions: OutsidePredictions) -> Prediction:
    shape = (entry.height, entry.width)
    file = predictions.masks.get(entry.image)
    mask = read_mask([file]) if file else np.zeros(shape, dtype=np.bool_)
    if mask.shape != shape:
        raise InvalidDataError(
            f"{file}: expected the size of {entry.image}, {shape[1]} × {shape[0]} px, got "
            f"{mask.shape[1]} × {mask.shape[0]}; resample it first"
        )
    probs = dict(predictions.probs.get(entry.image, {}))
    label = max(probs, key=probs.__getitem__) if probs else UNCLASSIFIED
    return Prediction(
        probs=probs,
        predicted=label,
        decided=label,
        decision=label,
        mask=mask,
        raw_mask=mask,
        coarse_mask=mask,
        large=bool(mask.any()),
        lesion_area=int(mask.sum()),
        box=None,
        class_entropy=0.0,
        mask_disagreement=0.0,
        uncertainty=0.0,
        refer=False,
    )


def _find_masks(images: Sequence[str], folder: Path) -> dict[str, Path]:
    found, listed = {}, dict[Path, Names]()
    for image in images:
        path = PurePosixPath(image)
        names = [name.format(stem=path.stem) for name in _MASK_NAMES]
        places = [str(path.parent / name) for name in names] + names
        files = (find_file(folder, place, listed) for place in places)
        file = next((file for file in files if file.is_file()), None)
        if file:
            found[image] = file
    _refuse_missing(images, found, f"{folder} has no mask", f"{folder}/<class>/<stem>_mask.png")
    return found


def _read_probabilities(
    images: Sequence[str], classes: Sequence[str], file: Path
) -> dict[str, dict[str, float]]:
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"{file} can't be read as CSV: {error}") from None
    key = next((name for name in ("image", "file") if name in table), None)
    columns = [f"prob_{name}" for name in classes]
    absent = [name for name in columns if name not in table]
    if key is None or absent:
        lacking = absent if key else ["image"]
        raise InvalidDataError(f"{file}: expected the columns {', '.join(lacking)}")
    values = table[columns].to_numpy(dtype=float)
    if not np.isfinite(values).all() or (values < 0).any() or (values > 1).any():
        raise InvalidDataError(f"{file}: expected probabilities in [0, 1] in {', '.join(columns)}")
    stems = [_stem(str(name)) for name in table[key]]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InvalidDataError(f"{file}: {twice} has several rows; keep one")
    rows = (dict(zip(classes, map(float, row), strict=True)) for row in values)
    known = dict(zip(stems, rows, strict=True))
    found = {image: known[_stem(image)] for image in images if _stem(image) in known}
    _refuse_missing(images, found, f"{file} has no row", f"a row with its name in `{key}`")
    return found


def _stem(name: str) -> str:
    return composed(PurePosixPath(name).stem)


def _refuse_missing(
    images: Sequence[str], found: Mapping[str, object], what: str, expected: str
) -> None:
    missing = [image for image in images if image not in found]
    if missing:
        raise InvalidDataError(
            f"{what} for {len(missing)} of {len(images)} images, {missing[0]} among them; expected "
            f"{expected}. An image without a prediction can't be left out"
        )
