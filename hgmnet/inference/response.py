"""Output columns of a prediction, and the rows for encoded images over HTTP."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np

from hgmnet.data.images import Grey, encode_mask
from hgmnet.data.limits import MAX_PIXELS
from hgmnet.data.reader import decode_file
from hgmnet.errors import HgmnetError, InvalidDataError
from hgmnet.inference.postprocess import Prediction
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import Operating

_PART_IMAGES, _PART_PIXELS = 16, 4_000_000
BOX = ("left", "top", "right", "bottom")
Value = str | int | float | bool | None
Kind = Literal["string", "double", "boolean", "long"]  # MLflow's names
Observe = Callable[[Grey, Prediction], None]
"""Is called with each image, (H, W) uint8, and its prediction."""


@dataclass(frozen=True)
class OutputColumn:
    """A column of the predictions, in every output format."""

    name: str
    kind: Kind


def prediction_columns(classes: Sequence[str]) -> tuple[OutputColumn, ...]:
    """Output columns of one image, in order: the same in CSV, JSONL, Parquet, HTTP and MLflow."""
    return (
        OutputColumn("decision", "string"),
        OutputColumn("class", "string"),
        *(OutputColumn(f"prob_{name}", "double") for name in classes),
        OutputColumn("uncertainty", "double"),
        OutputColumn("refer", "boolean"),
        OutputColumn("malignant_threshold", "double"),
        OutputColumn("lesion_area_px", "long"),
        OutputColumn("lesion_area_mm2", "double"),
        *(OutputColumn(side, "long") for side in BOX),
    )


def prediction_row(
    prediction: Prediction, operating: Operating, pixel_mm: float
) -> dict[str, Value]:
    """Return the values of `prediction_columns`; None where there is none.

    `pixel_mm`: pixel spacing in mm; 0 if unknown.
    """
    area = prediction.lesion_area
    return {
        "decision": prediction.decision,
        "class": prediction.predicted,
        **{f"prob_{name}": round(prob, 6) for name, prob in prediction.probs.items()},
        "uncertainty": round(prediction.uncertainty, 6),
        "refer": prediction.refer,
        "malignant_threshold": operating.malignant_threshold,
        "lesion_area_px": area,
        "lesion_area_mm2": round(area * pixel_mm**2, 2) if pixel_mm else None,
        **dict(zip(BOX, prediction.box or (None,) * 4, strict=True)),
    }


def answer(
    values: Sequence[object], predictor: Predictor, model: Mapping[str, Value]
) -> list[dict[str, Value]]:
    """Predict each image for a server; the columns are those of `columns`.

    `values`: each the bytes of a PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM file, or the same as
    base64 text.
    `model`: the model's columns, equal in each row.

    Returns:
        One row per image, in order. An unreadable one has `error` and None elsewhere; `error` is
        empty for the others. `mask_png`: the final mask at the image's original size as base64 PNG,
        0 and 255. The box is None without a lesion.
    """
    return list(chain.from_iterable(answer_in_parts(values, predictor, model)))


def answer_in_parts(
    values: Sequence[object],
    predictor: Predictor,
    model: Mapping[str, Value],
    max_pixels: int = MAX_PIXELS,
    *,
    frame: int = 0,
    observe: Observe | None = None,
) -> Iterator[list[dict[str, Value]]]:
    """Yield the rows of `answer` part by part; only the images of one part are in memory.

    A part ends at `_PART_IMAGES` images, or at the image that exceeds `_PART_PIXELS`. `frame`: of
    each file, as in `decode_file`.
    """
    part: list[_Decoded] = []
    for row, value in enumerate(values):
        part.append(_read(value, f"row {row}", max_pixels, frame))
        large = sum(one.grey.size for one in part) > _PART_PIXELS
        if large or len(part) == _PART_IMAGES or row == len(values) - 1:
            yield _rows(part, predictor, model, observe)
            part = []


def _rows(
    part: Sequence["_Decoded"],
    predictor: Predictor,
    model: Mapping[str, Value],
    observe: Observe | None,
) -> list[dict[str, Value]]:
    predictions = predictor.stream([one.grey for one in part if not one.error])
    nothing: dict[str, Value] = dict.fromkeys(columns(predictor.spec.classes, model))
    rows = []
    for one in part:
        if one.error:
            rows.append({**nothing, **model, "error": one.error})
            continue
        prediction = next(predictions)
        rows.append(answer_row(prediction, predictor.operating, one.pixel_mm, model))
        if observe is not None:
            observe(one.grey, prediction)
    return rows


def answer_row(
    prediction: Prediction, operating: Operating, pixel_mm: float, model: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the row of `answer` for one predicted image."""
    row = prediction_row(prediction, operating, pixel_mm)
    mask = base64.b64encode(encode_mask(prediction.mask)).decode("ascii")
    return {**row, "mask_png": mask, **model, "error": ""}


def columns(classes: Sequence[str], model: Iterable[str]) -> tuple[str, ...]:
    """Column names of an answer, in order, for these classes."""
    return (*(one.name for one in prediction_columns(classes)), "mask_png", *model, "error")


class _Decoded(NamedTuple):
    """A decoded image, grey (H, W), or the error message and no pixels."""

    grey: Grey
    pixel_mm: float
    error: str = ""


def _read(value: object, name: str, max_pixels: int, frame: int) -> _Decoded:
    try:
        decoded = decode_file(to_bytes(value, name), name, max_pixels, frame=frame)
    except HgmnetError as error:
        return _Decoded(np.empty((0, 0), np.uint8), 0.0, str(error))
    return _Decoded(decoded.grey, decoded.pixel_mm)


def to_bytes(value: object, name: str) -> bytes:
    """Return the bytes of an image file, given as bytes or as base64 text.

    Raises:
        InvalidDataError: it is neither; the message has `name`.
    """
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        kind = type(value).__name__
        msg = f"{name} is {kind}; expected the bytes of an image, or the same as base64 text"
        raise InvalidDataError(msg)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        msg = f"{name} is text but not base64 ({error}); encode the image file's bytes"
        raise InvalidDataError(msg) from None
