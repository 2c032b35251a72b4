"""The MLflow model: image bytes in, findings out.

This file travels with every registered version as its code (MLflow's models from code) and is run
where the version is loaded, with the `hgmnet` package that was packed beside it. So it imports
mlflow and hgmnet only.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema
from PIL import Image

from hgmnet.data.images import decode_grey
from hgmnet.data.resample import Grey, Mask
from hgmnet.errors import InvalidDataError
from hgmnet.inference import Finding, Predictor

IMAGE = "image"
MODEL = "model"
"""The artifact that holds the model folder."""
_BOX = ("left", "top", "right", "bottom")


class HGMNetModel(PythonModel):
    """HGM-Net as an MLflow pyfunc; the answer's columns are those of `signature`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder that was packed with the version."""
        self.predictor = Predictor.load(Path(context.artifacts[MODEL]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Find in each image.

        Args:
            context: unused; `load_context` has read it.
            model_input: column `image`: the bytes of a PNG or JPEG of any size, or the same as
                base64 text.
            params: unused.

        Returns:
            A row an image; left, top, right, bottom are missing where no lesion is found. A model
            for segmentation alone says `unclassified`, with equal probabilities. `uncertainty`: the
            share of the val images that were surer; `refer`: so unsure that a person should look.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, where a row holds no image.
        """
        images = [_decode(value, f"row {row}") for row, value in enumerate(model_input[IMAGE])]
        classes = self.predictor.spec.classes
        rows = list(_rows(self.predictor.stream(images)))
        columns = [column.name for column in signature(classes).outputs]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(_BOX, "Int64"))


def signature(classes: Sequence[str]) -> ModelSignature:
    """What the model takes and gives, for these classes."""
    outputs = [
        ColSpec("string", "class"),
        ColSpec("string", "decision"),
        *(ColSpec("double", f"prob_{name}") for name in classes),
        ColSpec("double", "uncertainty"),
        ColSpec("boolean", "refer"),
        ColSpec("string", "mask_png"),
        ColSpec("long", "lesion_area"),
        *(ColSpec("long", side, required=False) for side in _BOX),
    ]
    return ModelSignature(Schema([ColSpec("binary", IMAGE)]), Schema(list(outputs)))


def _decode(value: object, name: str) -> Grey:
    try:
        return decode_grey(_to_bytes(value, name), name)
    except InvalidDataError as error:
        raise MlflowException.invalid_parameter_value(str(error)) from None


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


def _rows(findings: Iterable[Finding]) -> Iterator[dict[str, object]]:
    for finding in findings:
        yield {
            "class": finding.predicted,
            "decision": finding.decision,
            **{f"prob_{name}": prob for name, prob in finding.probs.items()},
            "uncertainty": finding.uncertainty,
            "refer": finding.refer,
            "mask_png": _encode(finding.mask),
            "lesion_area": finding.lesion_area,
            **dict(zip(_BOX, finding.box or (pd.NA,) * 4, strict=True)),
        }


def _encode(mask: Mask) -> str:
    """A mask as PNG, 0 and 255, as base64 text."""
    file = io.BytesIO()
    Image.fromarray(mask).convert("L").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


set_model(HGMNetModel())
