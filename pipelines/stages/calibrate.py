"""Stage calibrate: choose the operating point on val, and profile the images."""

from pathlib import Path

from hgmnet.calibration.operating_point import Calibrated, operating_point, predict_val
from hgmnet.config.data import Data
from hgmnet.config.evaluation import Calibrate
from hgmnet.data import metadata
from hgmnet.data.prepared import open_prepared
from hgmnet.data.resize import Grey
from hgmnet.evaluation.drift import build_profile, kinds
from hgmnet.inference.postprocess import RawPrediction, postprocess
from hgmnet.inference.tta import forward_tta
from hgmnet.models.device import best_device
from hgmnet.models.serialization import load_model, save_operating
from hgmnet.models.spec import PROFILE
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.drift.measure import measure_images


def run(root: Path, data: Data, calibrate: Calibrate) -> None:
    """Write operating.json, profile.json and mask_curve.json.

    Raises:
        InvalidDataError: val has no malignant image, or a train image can't be read.
    """
    workspace = Workspace(root, data.name)
    chosen = calibrate_model(workspace.model, workspace, calibrate)
    write_json(workspace.mask_curve, chosen.curve)


def calibrate_model(folder: Path, workspace: Workspace, aim: Calibrate) -> Calibrated:
    """Write operating.json and profile.json into a model folder; raises as `run`."""
    network, spec = load_model(folder)
    network.to(best_device())
    store = open_prepared(workspace.prepared)

    def predict(square: Grey) -> RawPrediction:
        return forward_tta(network, spec, square, mirror=aim.mirror, scales=aim.scales)

    raw = predict_val(predict, store)
    chosen = operating_point(raw, store, spec, aim)
    save_operating(folder, chosen.operating)
    val, train = ([store.entries[row] for row in store.rows(name)] for name in ("val", "train"))
    known = metadata.words(workspace.raw)
    profile = build_profile(
        workspace.data,
        statistics=measure_images(workspace.raw / entry.image for entry in train),
        statistics_groups=[entry.group for entry in train],
        predictions=(
            postprocess(raw, i, (e.height, e.width), spec, chosen.operating)
            for i, e in enumerate(val)
        ),
        prediction_groups=[entry.group for entry in val],
        model=spec.model,
        values=kinds(known[entry.image] for entry in train if entry.image in known),
    )
    write_json(folder / PROFILE, profile)
    return chosen
