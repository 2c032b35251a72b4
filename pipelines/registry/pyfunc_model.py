"""The MLflow model: image bytes in, predictions out.

This file is packed into every registered version (MLflow's models from code) and is run
where the version is loaded, with the `hgmnet` package packed beside it. So it imports
mlflow and hgmnet only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema

from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import answer, columns, prediction_columns

IMAGE = "image"
MODEL = "model"
"""Name of the model folder's artifact."""
NAME = "registered_model"
"""Setting with the registered model's name."""


class HGMNetModel(PythonModel):
    """HGM-Net as an MLflow pyfunc; output columns as in `signature`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder that was packed with the version."""
        self.predictor = TorchPredictor.load(Path(context.artifacts[MODEL]))
        name = (context.model_config or {}).get(NAME, "")
        self.model = {"model": name, "model_sha256": self.predictor.identity}

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Predict each image of the column `image`: bytes of a PNG, JPEG or DICOM file, or base64.

        Returns:
            One row per image; left, top, right, bottom are missing where no lesion is found. A
            segmentation-only model predicts `unclassified`, with equal probabilities.
            `uncertainty`: fraction of the val images with a more confident prediction; `refer`:
            refer the image to a person. An unreadable image's row has only its `error`.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE: no row, or no readable image.
        """
        if model_input.empty:
            raise MlflowException.invalid_parameter_value(
                f"no row; expected the bytes of an image in column `{IMAGE}`, one image per row"
            )
        rows = answer(model_input[IMAGE].tolist(), self.predictor, self.model)
        errors = [str(row["error"]) for row in rows if row["error"]]
        if errors and len(errors) == len(rows):
            raise MlflowException.invalid_parameter_value("; ".join(errors))
        classes = self.predictor.spec.classes
        nullable = {"long": "Int64", "boolean": "boolean"}  # NumPy has no missing value for them
        kinds = {one.name: one.kind for one in prediction_columns(classes)}
        types = {name: nullable[kind] for name, kind in kinds.items() if kind in nullable}
        return pd.DataFrame(rows, columns=columns(classes, self.model)).astype(types)


def signature(classes: Sequence[str]) -> ModelSignature:
    """Input and output columns for these classes; an unreadable image has only `error`."""
    outputs = [
        *(ColSpec(one.kind, one.name, required=False) for one in prediction_columns(classes)),
        ColSpec("string", "mask_png", required=False),
        *(ColSpec("string", name) for name in ("model", "model_sha256", "error")),
    ]
    return ModelSignature(Schema([ColSpec("binary", IMAGE)]), Schema(list(outputs)))


set_model(HGMNetModel())
