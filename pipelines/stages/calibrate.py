"""Stage calibrate: choose the operating point on val."""

from pathlib import Path

import numpy as np
import torch

from hgmnet.calibration import calibrate as choose
from hgmnet.config import Calibrate, Data, Prepare
from hgmnet.data.resample import placed
from hgmnet.data.store import Entry, open_store
from hgmnet.inference import Raw, infer
from hgmnet.metrics import class_indices
from hgmnet.models.folder import load_model, save_operating
from pipelines.artifacts import Workspace

_BATCH = 32


def run(root: Path, data: Data, calibrate: Calibrate) -> None:
    """Write operating.json.

    Raises:
        InvalidDataError: val holds no malignant image.
    """
    workspace = Workspace(root, data.name)
    network, spec = load_model(workspace.model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    store = open_store(workspace.prepared)
    rows = store.rows("val")
    parts = [
        infer(network, spec, store.images[rows[i : i + _BATCH]], mirror=calibrate.mirror)
        for i in range(0, len(rows), _BATCH)
    ]
    raw = Raw(
        np.concatenate([part.mask_prob for part in parts]),
        np.concatenate([part.coarse_mask_prob for part in parts]),
        np.concatenate([part.class_logits for part in parts]),
    )
    labels = class_indices([store.entries[i].label for i in rows], data.classes)
    shares = [_share(store.entries[i], spec.prepare) for i in rows]
    operating = choose(
        raw,
        store.masks[rows],
        labels,
        classes=data.classes,
        shares=np.array(shares),
        aim=calibrate,
    )
    save_operating(workspace.model, operating)


def _share(entry: Entry, prepare: Prepare) -> float:
    """How much of the square an image takes up; the rest is a letterbox's margin."""
    rows, columns = placed(entry.height, entry.width, prepare)
    return rows * columns / prepare.side**2
