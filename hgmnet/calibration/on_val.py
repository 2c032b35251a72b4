"""Operating point of a model, chosen on the val images of a prepared data set."""

from collections.abc import Callable

import numpy as np

from hgmnet.calibration.operating_point import Calibrated, Val, calibrate
from hgmnet.config.evaluation import Calibrate
from hgmnet.data.prepared import PreparedDataset, class_indices
from hgmnet.data.progress import batches
from hgmnet.data.resize import Grey, content_size
from hgmnet.inference.maps import joined
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.models.spec import Spec

_BATCH = 32


def predict_val(predict: Callable[[Grey], RawPrediction], store: PreparedDataset) -> RawPrediction:
    """Return the network's output for all val images; `predict` takes a batch (B, S, S) uint8."""
    rows = store.rows("val")
    parts = batches(len(rows), _BATCH, "predicting val")
    return joined([predict(store.images[rows[part]]) for part in parts])


def operating_point(
    raw: RawPrediction,
    store: PreparedDataset,
    spec: Spec,
    aim: Calibrate,
    temperature: float | None = None,
) -> Calibrated:
    """Choose the operating point from `predict_val`; the temperature is fitted if None.

    Raises:
        InvalidDataError: val has no malignant image.
    """
    val = [store.entries[row] for row in store.rows("val")]
    sizes = (content_size(entry.height, entry.width, spec.prepare) for entry in val)
    seen = Val(
        raw,
        truth=store.masks[store.rows("val")] > 0,
        labels=class_indices([entry.label for entry in val], spec.classes),
        shares=np.array([rows * columns / spec.prepare.side**2 for rows, columns in sizes]),
        groups=[entry.group for entry in val],
    )
    return calibrate(seen, classes=spec.classes, aim=aim, model=spec.model, temperature=temperature)
