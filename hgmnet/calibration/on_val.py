"""The operating point of a model, chosen on the val images of a prepared data set."""

from collections.abc import Callable

import numpy as np

from hgmnet.calibration.operating_point import Calibrated, Val, calibrate
from hgmnet.config.data import Prepare
from hgmnet.config.evaluation import Calibrate
from hgmnet.data.prepared import PreparedDataset, PreparedImage, class_indices
from hgmnet.data.resize import Grey, content_size
from hgmnet.inference.maps import joined
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.models.spec import Spec

_BATCH = 32


def predict_val(predict: Callable[[Grey], RawPrediction], store: PreparedDataset) -> RawPrediction:
    """The network's output for all val images; `predict` takes a batch (B, S, S) uint8."""
    rows = store.rows("val")
    return joined(
        [predict(store.images[rows[i : i + _BATCH]]) for i in range(0, len(rows), _BATCH)]
    )


def operating_point(
    raw: RawPrediction,
    store: PreparedDataset,
    spec: Spec,
    aim: Calibrate,
    temperature: float | None = None,
) -> Calibrated:
    """Choose it on val.

    Args:
        raw: of `predict_val`.
        store: the prepared images.
        spec: how the network sees an image.
        aim: what to aim at.
        temperature: of the class logits; None: the most likely is fitted.

    Raises:
        InvalidDataError: val holds no malignant image.
    """
    val = [store.entries[row] for row in store.rows("val")]
    seen = Val(
        raw,
        truth=store.masks[store.rows("val")] > 0,
        labels=class_indices([entry.label for entry in val], spec.classes),
        shares=np.array([_share(entry, spec.prepare) for entry in val]),
        groups=[entry.group for entry in val],
    )
    return calibrate(seen, classes=spec.classes, aim=aim, model=spec.model, temperature=temperature)


def _share(entry: PreparedImage, prepare: Prepare) -> float:
    """How much of the square an image takes up; the rest is a letterbox's margin."""
    rows, columns = content_size(entry.height, entry.width, prepare)
    return rows * columns / prepare.side**2
