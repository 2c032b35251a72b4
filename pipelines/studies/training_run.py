"""Train and evaluate a run of a study; model folder and rows are cached by fingerprint."""

import platform
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from hgmnet.calibration.operating_point import operating_point, predict_val
from hgmnet.config.base import Frozen
from hgmnet.data.atomic import write_table
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedDataset
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.per_image import columns, image_row
from hgmnet.inference.maps import infer_with
from hgmnet.inference.postprocess import postprocess
from hgmnet.inference.tta import forward_tta
from hgmnet.models.device import best_device
from hgmnet.models.serialization import load_model, save_operating
from hgmnet.models.spec import OPERATING, WEIGHTS, Spec, load_operating
from hgmnet.splitting import contamination
from hgmnet.splitting.cross_validation import JUDGED, Sides, with_splits
from pipelines.artifacts.io import read_json, write_json
from pipelines.stages.train import OnEpoch, fit_into
from pipelines.studies.definition import StudyContext, StudyRun

KEY = ("variant", "fold", "seed")
_TEXT = ("image", "pixel_sha256", "label", "group", "split", "predicted", "decision", "decided")


class Made(Frozen):
    """Where and when a run was computed; `trained`: False if its model existed already."""

    seconds: float
    trained: bool
    train_images: int
    val_images: int
    judged_images: int
    device: str
    threads: int
    torch: str
    date: str


def fitted(bench: StudyContext, cell: StudyRun) -> bool:
    """Whether the run's model exists."""
    return (bench.model_folder(cell) / OPERATING).exists()


def judged(bench: StudyContext, cell: StudyRun) -> bool:
    """Whether the rows of the run's fold exist."""
    return bench.rows_file(cell).exists()


def compute(bench: StudyContext, cell: StudyRun, on_epoch: OnEpoch, *, keep: bool) -> Made:
    """Train the run's model unless it exists, evaluate its fold, and store the rows.

    Safe with several processes: the second one waits and finds the rows. `on_epoch`: called
    with each epoch's figures. `keep`: whether to keep the model after the evaluation.

    Raises:
        HgmnetError: training or calibration failed, or the model has seen an evaluated image.
    """
    folder, target = bench.model_folder(cell), bench.rows_file(cell)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if judged(bench, cell):
            return made(bench, cell)
        began, trained = time.monotonic(), not fitted(bench, cell)
        store = with_splits(bench.store, cell.sides)
        if trained:
            _fit(bench, cell, store, folder, on_epoch)
        rows = [{**_key(cell), **row} for row in _judge(bench, cell, store, folder)]
        about = made_now(cell.sides, time.monotonic() - began, trained=trained)
        write_json(target.with_suffix(".json"), about)
        write_table(target, [*KEY, *columns(cell.params.data.classes)], rows)
        if not keep:
            (folder / OPERATING).unlink()
            (folder / WEIGHTS).unlink()
    return made(bench, cell)


def made(bench: StudyContext, cell: StudyRun) -> Made:
    """Read the record of a run's computation."""
    return read_json(bench.rows_file(cell).with_suffix(".json"), Made)


def read(bench: StudyContext, cell: StudyRun) -> pd.DataFrame:
    """Read the rows of the run's fold, with its variant, fold and seed, sorted by image."""
    table = read_rows(bench.rows_file(cell))
    return table.assign(**_key(cell)).sort_values("image", kind="stable").reset_index(drop=True)


def read_rows(path: Path) -> pd.DataFrame:
    """Read rows of per_image.csv: an empty cell is NaN; text columns stay text."""
    words = dict.fromkeys(_TEXT, str)
    return pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])


def _fit(
    bench: StudyContext, cell: StudyRun, store: PreparedDataset, folder: Path, on_epoch: OnEpoch
) -> None:
    trained = fit_into(
        folder,
        store,
        cell.recipe,
        root=bench.workspace.root,
        mark=folder.name,
        checkpoints=folder / "checkpoints",
        on_epoch=on_epoch,
    )
    aim, network, spec = cell.params.calibrate, trained.network.to(best_device()), trained.spec
    raw = predict_val(
        lambda square: forward_tta(network, spec, square, mirror=aim.mirror, scales=aim.scales),
        store,
    )
    save_operating(folder, operating_point(raw, store, spec, aim).operating)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _judge(
    bench: StudyContext, cell: StudyRun, store: PreparedDataset, folder: Path
) -> Iterator[dict[str, str | int | float]]:
    """Yield one row of per_image.csv per image of the fold."""
    network, spec = load_model(folder)
    network.to(best_device())
    operating, rows = load_operating(folder), store.rows(JUDGED)
    _refuse_seen(cell, store, spec)
    squares, truth = store.images[rows], store.masks[rows]
    mirror, scales = operating.mirror, operating.scales
    raw = infer_with(network, spec, squares, truth, cell.given, mirror=mirror, scales=scales)
    for i, row in enumerate(rows):
        entry = store.entries[row]
        finding = postprocess(raw, i, (entry.height, entry.width), spec, operating)
        yield image_row(entry, finding, read_truth(bench.workspace.raw, entry), spec.model)


def _refuse_seen(cell: StudyRun, store: PreparedDataset, spec: Spec) -> None:
    """Check that no evaluated image, nor another of its group, was seen in training."""
    entries = [entry for entry in store.entries if entry.split == JUDGED]
    known = contamination.check(entries, cell.params.data.name, [spec]).seen
    if known and not cell.leaky:
        raise InvalidDataError(
            f"{cell.name}: {len(known)} of its images were seen in training, {known[0].image} "
            "among them; the groups and the pixels disagree, run `dvc repro prepare`"
        )


def made_now(sides: Sides, seconds: float, *, trained: bool) -> Made:
    """Record of a run that this process computed in `seconds`; `sides`: split of each image."""
    cuda = torch.cuda.is_available()
    return Made(
        seconds=round(seconds, 1),
        trained=trained,
        train_images=sides.count("train"),
        val_images=sides.count("val"),
        judged_images=sides.count(JUDGED),
        device=torch.cuda.get_device_name() if cuda else f"CPU ({platform.machine()})",
        threads=torch.get_num_threads(),
        torch=version("torch"),
        date=datetime.now(UTC).date().isoformat(),
    )


def _key(cell: StudyRun) -> dict[str, str | int]:
    return {"variant": cell.variant, "fold": cell.fold + 1, "seed": cell.seed}
