"""Stage calibrate: choose the operating point on val, and keep what the images are like."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from hgmnet.calibration import calibrate as choose
from hgmnet.config import Calibrate, Data, Prepare
from hgmnet.data.resample import placed
from hgmnet.data.store import Entry, Store, open_store
from hgmnet.drift import Column, Profile, summarise
from hgmnet.inference import Raw, find, infer
from hgmnet.metrics import class_indices
from hgmnet.models.folder import load_model, save_operating
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import PROFILE, Spec
from pipelines.artifacts import Workspace, write_json
from pipelines.drift import by_column, measure_images, say

_BATCH = 32


def run(root: Path, data: Data, calibrate: Calibrate) -> None:
    """Write operating.json and profile.json.

    The profile holds facts of the train images, and what the model says of the val images: of those
    that it was fitted on it is too sure.

    Raises:
        InvalidDataError: val holds no malignant image, or a train image can't be read any more.
    """
    workspace = Workspace(root, data.name)
    network, spec = load_model(workspace.model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    store = open_store(workspace.prepared)
    raw = _predict(network, spec, store, mirror=calibrate.mirror)
    val = _entries(store, "val")
    operating = choose(
        raw,
        store.masks[store.rows("val")],
        class_indices([entry.label for entry in val], data.classes),
        classes=data.classes,
        shares=np.array([_share(entry, spec.prepare) for entry in val]),
        aim=calibrate,
    )
    save_operating(workspace.model, operating)
    said = (say(find(raw, i, (e.height, e.width), spec, operating)) for i, e in enumerate(val))
    train = _entries(store, "train")
    facts = measure_images(workspace.raw / entry.image for entry in train)
    columns = _columns((one.model_dump() for one in facts), train) | _columns(said, val)
    write_json(workspace.model / PROFILE, Profile(data=data.name, columns=columns))


def _predict(network: HGMNet, spec: Spec, store: Store, *, mirror: bool) -> Raw:
    """What the network says of the val images."""
    rows = store.rows("val")
    parts = [
        infer(network, spec, store.images[rows[i : i + _BATCH]], mirror=mirror)
        for i in range(0, len(rows), _BATCH)
    ]
    return Raw(
        np.concatenate([part.mask_prob for part in parts]),
        np.concatenate([part.coarse_mask_prob for part in parts]),
        np.concatenate([part.class_logits for part in parts]),
    )


def _entries(store: Store, split: str) -> list[Entry]:
    return [store.entries[row] for row in store.rows(split)]


def _share(entry: Entry, prepare: Prepare) -> float:
    """How much of the square an image takes up; the rest is a letterbox's margin."""
    rows, columns = placed(entry.height, entry.width, prepare)
    return rows * columns / prepare.side**2


def _columns(rows: Iterable[dict[str, float]], entries: Sequence[Entry]) -> dict[str, Column]:
    groups = [entry.group for entry in entries]
    return {name: summarise(values, groups) for name, values in by_column(list(rows)).items()}
