"""Val images to check exports of a model on, and its int8 form, evaluated on val."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hgmnet.data.images import decode_grey
from hgmnet.data.prepared import PreparedDataset, open_prepared
from hgmnet.data.resize import Grey
from hgmnet.errors import InvalidDataError, RejectedError
from hgmnet.inference.onnx import OnnxPredictor
from hgmnet.inference.onnx_export import quantise
from hgmnet.inference.parity import Loss, loss
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import Spec
from hgmnet.prediction.onnx_export import CHECKED, write_checked
from pipelines.artifacts.paths import Workspace


@dataclass(frozen=True)
class Bounds:
    """Largest loss of int8 in lesion Dice and accuracy."""

    lesion_dice: float
    accuracy: float


def val_images(root: Path, spec: Spec) -> tuple[list[Grey], str]:
    """Return val images of the model's data set, grey (H, W), empty if missing, and their name.

    With the root bound this is a `hgmnet.prediction.onnx_export.CheckImages`.
    """
    workspace = Workspace(root, spec.data)
    try:
        store = open_prepared(workspace.prepared)
        rows = _evenly(store.rows("val"), CHECKED)
        files = [workspace.raw / store.entries[row].image for row in rows]
        images = [decode_grey(file.read_bytes(), file.name) for file in files]
    except (InvalidDataError, OSError):
        images = []
    return images, f"val of {spec.data}"


def quantise_checked(
    root: Path, predictor: TorchPredictor, exported: Path, file: Path, most: Bounds
) -> str:
    """Write the int8 form of an exported model if its loss is in `most`; return a summary.

    Ranges are found on prepared train images; the loss is measured on val images that
    the weights have not seen, both at the network's image side. `exported`: float32 file.
    `file`: unchanged if too much is lost.

    Raises:
        ConfigError: a package is not installed.
        InvalidDataError: no prepared set of the model's data and side, or all val images seen.
        RejectedError: the loss is larger; nothing was written.
    """
    spec = predictor.spec
    store = _store(root, spec)
    rows, fitted = store.rows("val"), {*spec.seen.train, *spec.seen.parent}
    rows = np.array([row for row in rows if store.entries[row].pixel_sha256 not in fitted])
    if not len(rows):
        raise InvalidDataError(
            f"data/{spec.data}: the model has seen all val images; int8 can't be evaluated"
        )
    squares, masks = store.read(rows)
    truth = [mask > 0 for mask in (masks if spec.model.segments else np.zeros_like(masks))]
    labels = [store.entries[row].label for row in rows]

    def make(part: Path) -> Loss:
        quantise(predictor, exported, store.images[_evenly(store.rows("train"), 96)], part)
        one, other = (OnnxPredictor.load(path).predict(list(squares)) for path in (exported, part))
        lost = loss(one, other, truth, labels)
        if not lost.within(most.lesion_dice, most.accuracy):
            raise RejectedError(
                f"int8 loses too much: {lost}; at most {most.lesion_dice:g} and "
                f"{most.accuracy:g} may be lost (--max-loss); nothing was written"
            )
        return lost

    return f"int8 {write_checked(file, make)} (val of {spec.data}, {spec.prepare.side} px)"


def _store(root: Path, spec: Spec) -> PreparedDataset:
    store = open_prepared(Workspace(root, spec.data).prepared)
    if store.images.shape[1] != spec.prepare.side:
        raise InvalidDataError(
            f"data/{spec.data}/prepared has images of {store.images.shape[1]} px, the model needs "
            f"{spec.prepare.side}; --int8 needs the set that it was trained on"
        )
    return store


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` rows, evenly spread."""
    return rows[:: max(1, -(-len(rows) // most))]
