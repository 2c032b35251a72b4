"""Stage calibrate: choose the operating point on val, and keep what the images are like."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from hgmnet.calibration.mask_threshold import Curve
from hgmnet.calibration.operating_point import Calibrated, Val
from hgmnet.calibration.operating_point import calibrate as choose
from hgmnet.config.data import Data, Prepare
from hgmnet.config.evaluation import Calibrate
from hgmnet.data import metadata
from hgmnet.data.prepared import PreparedDataset, PreparedImage, class_indices, open_prepared
from hgmnet.data.resize import Grey, content_size
from hgmnet.evaluation.drift import Column, Profile, kinds, summarise
from hgmnet.inference.postprocess import RawPrediction, postprocess
from hgmnet.inference.tta import forward_tta
from hgmnet.models.device import best_device
from hgmnet.models.serialization import load_model, save_operating
from hgmnet.models.spec import PROFILE, Spec
from pipelines.artifacts.evaluation import MaskCurve, MaskPoint
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.drift.measure import by_column, measure_images, say

_BATCH = 32


def run(root: Path, data: Data, calibrate: Calibrate) -> None:
    """Write operating.json, profile.json and mask_curve.json.

    Raises:
        InvalidDataError: val holds no malignant image, or a train image can't be read any more.
    """
    workspace = Workspace(root, data.name)
    chosen = calibrate_model(workspace.model, workspace, calibrate)
    write_json(workspace.mask_curve, _told(chosen.curve))


def calibrate_model(folder: Path, workspace: Workspace, aim: Calibrate) -> Calibrated:
    """Give a model folder its operating.json and profile.json.

    The profile holds facts of the train images, and what the model says of the val images: of those
    that it was fitted on it is too sure.

    Raises:
        InvalidDataError: val holds no malignant image, or a train image can't be read any more.
    """
    network, spec = load_model(folder)
    network.to(best_device())
    store = open_prepared(workspace.prepared)

    def look(square: Grey) -> RawPrediction:
        return forward_tta(network, spec, square, mirror=aim.mirror, scales=aim.scales)

    raw = predict_val(look, store)
    chosen = operating_point(raw, store, spec, aim)
    operating = chosen.operating
    save_operating(folder, operating)
    val, train = _entries(store, "val"), _entries(store, "train")
    findings = (
        postprocess(raw, i, (e.height, e.width), spec, operating) for i, e in enumerate(val)
    )
    said = (say(finding, spec.model) for finding in findings)
    facts = measure_images(workspace.raw / entry.image for entry in train)
    columns = _columns((one.model_dump() for one in facts), train) | _columns(said, val)
    told = metadata.words(workspace.raw)
    values = kinds(told[entry.image] for entry in train if entry.image in told)
    write_json(folder / PROFILE, Profile(data=workspace.data, columns=columns, values=values))
    return chosen


def predict_val(look: Callable[[Grey], RawPrediction], store: PreparedDataset) -> RawPrediction:
    """What a network says of the val images, a batch of (B, S, S) at a time."""
    rows = store.rows("val")
    parts = [look(store.images[rows[i : i + _BATCH]]) for i in range(0, len(rows), _BATCH)]
    return RawPrediction(
        np.concatenate([part.mask_prob for part in parts]),
        np.concatenate([part.coarse_mask_prob for part in parts]),
        np.concatenate([part.class_logits for part in parts]),
        np.concatenate([part.views for part in parts]),
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
        temperature: of the class logits; None: the likeliest is looked for.

    Raises:
        InvalidDataError: val holds no malignant image.
    """
    val = _entries(store, "val")
    seen = Val(
        raw,
        truth=store.masks[store.rows("val")] > 0,
        labels=class_indices([entry.label for entry in val], spec.classes),
        shares=np.array([_share(entry, spec.prepare) for entry in val]),
        groups=[entry.group for entry in val],
    )
    return choose(seen, classes=spec.classes, aim=aim, model=spec.model, temperature=temperature)


def _told(curve: Curve | None) -> MaskCurve:
    if curve is None:
        return MaskCurve(points=(), chosen=None)
    points = tuple(MaskPoint(**vars(point)) for point in curve.points)
    return MaskCurve(points=points, chosen=MaskPoint(**vars(curve.chosen)))


def _entries(store: PreparedDataset, split: str) -> list[PreparedImage]:
    return [store.entries[row] for row in store.rows(split)]


def _share(entry: PreparedImage, prepare: Prepare) -> float:
    """How much of the square an image takes up; the rest is a letterbox's margin."""
    rows, columns = content_size(entry.height, entry.width, prepare)
    return rows * columns / prepare.side**2


def _columns(
    rows: Iterable[dict[str, float]], entries: Sequence[PreparedImage]
) -> dict[str, Column]:
    groups = [entry.group for entry in entries]
    return {name: summarise(values, groups) for name, values in by_column(list(rows)).items()}
