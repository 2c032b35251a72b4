"""What a server says of encoded images: a row of plain values each, an error where one is bad."""

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image

from hgmnet.data import dicom
from hgmnet.data.images import decode_grey
from hgmnet.data.resize import Grey, Mask
from hgmnet.errors import HgmnetError, InvalidDataError
from hgmnet.inference.postprocess import Prediction
from hgmnet.inference.predictor import Predictor

BOX = ("left", "top", "right", "bottom")
Value = str | int | float | bool | None


def answer(
    values: Sequence[object], predictor: Predictor, model: Mapping[str, Value]
) -> list[dict[str, Value]]:
    """Find in each image; the columns are those of `columns`.

    Args:
        values: bytes of a PNG, JPEG, BMP, TIFF or DICOM file of any size, or the same as base64
            text, each.
        predictor: the model.
        model: what each row says of it, by column.

    Returns:
        A row an image, in their order. A bad one has `error` and None elsewhere; the others' error
        is empty. The box is None where no lesion is found.
    """
    read = [_read(value, f"row {row}") for row, value in enumerate(values)]
    findings = predictor.stream([one for one in read if not isinstance(one, str)])
    nothing: dict[str, Value] = dict.fromkeys(columns(predictor.spec.classes, model))
    rows = []
    for one in read:
        said = {"error": one} if isinstance(one, str) else _said(next(findings), predictor)
        rows.append({**nothing, **said, **model})
    return rows


def columns(classes: Sequence[str], model: Mapping[str, Value]) -> tuple[str, ...]:
    """The columns of an answer, in order, for these classes."""
    probs = (f"prob_{name}" for name in classes)
    said = ("uncertainty", "refer", "malignant_threshold", "mask_png", "lesion_area", *BOX)
    return ("class", "decision", *probs, *said, *model, "error")


def _read(value: object, name: str) -> Grey | str:
    """The image, or what is wrong with it."""
    try:
        data = _to_bytes(value, name)
        if dicom.is_dicom(data):
            data = dicom.decode(data, name).png
        return decode_grey(data, name)
    except HgmnetError as error:
        return str(error)


def _to_bytes(value: object, name: str) -> bytes:
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


def _said(finding: Prediction, predictor: Predictor) -> dict[str, Value]:
    return {
        "class": finding.predicted,
        "decision": finding.decision,
        **{f"prob_{name}": prob for name, prob in finding.probs.items()},
        "uncertainty": finding.uncertainty,
        "refer": finding.refer,
        "malignant_threshold": predictor.operating.malignant_threshold,
        "mask_png": _encode(finding.mask),
        "lesion_area": finding.lesion_area,
        **dict(zip(BOX, finding.box or (None,) * 4, strict=True)),
        "error": "",
    }


def _encode(mask: Mask) -> str:
    """A mask as PNG, 0 and 255, as base64 text."""
    file = io.BytesIO()
    Image.fromarray(mask).convert("L").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
