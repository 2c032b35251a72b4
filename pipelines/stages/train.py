"""Stage train: train HGM-Net on the prepared images, or resume an interrupted training."""

import platform
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import torch

from hgmnet.config.base import Frozen, flat_settings
from hgmnet.config.data import Data, Prepare
from hgmnet.config.model import File, Model
from hgmnet.config.training import Train
from hgmnet.data.prepared import PreparedDataset, open_prepared
from hgmnet.data.progress import left
from hgmnet.errors import ConfigError
from hgmnet.models.serialization import save_model
from hgmnet.training.distributed import following, is_first, plan
from hgmnet.training.fit import Trained, fit, quiet_lightning
from hgmnet.training.lightning_module import EpochFigures
from pipelines.artifacts.io import write_json, write_rows
from pipelines.artifacts.lineage import TrainRun, read_lineage
from pipelines.artifacts.paths import Workspace
from pipelines.stages.fingerprint import fingerprint

OnEpoch = Callable[[EpochFigures], None]
PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "lightning", "numpy", "pillow")
"""Packages that the weights may depend on; their versions are recorded."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training: its sections of params.yaml."""

    data: Data
    prepare: Prepare
    model: Model
    train: Train

    @property
    def sections(self) -> dict[str, Frozen]:
        """Sections by name."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def fingerprint(self, root: Path) -> str:
        """Return the sha256 (hex) of everything that the weights depend on."""
        return fingerprint(root, "train", self.data.name, self.sections)


def run(
    root: Path,
    data: Data,
    prepare: Prepare,
    model: Model,
    train: Train,
    *,
    live: AbstractContextManager[OnEpoch] | None = None,
) -> None:
    """Train and write weights.safetensors, model.json and the curves.

    With several processes, Lightning or torchrun runs this command once per process; only the first
    one writes.

    Args:
        root: the repository.
        data: section `data` of params.yaml.
        prepare: section `prepare`.
        model: section `model`.
        train: section `train`.
        live: context of the training; yields a function called with each epoch's figures.

    Raises:
        ConfigError: `init_from` names the folder that this stage writes.
        HgmnetError: see `hgmnet.training.fit.fit`.
    """
    workspace, recipe = Workspace(root, data.name), Recipe(data, prepare, model, train)
    refuse_own(workspace, train)
    mark = recipe.fingerprint(root)

    def trained(on_epoch: OnEpoch) -> Trained:
        return fit_into(
            workspace.model,
            open_prepared(workspace.prepared),
            recipe,
            root=root,
            mark=mark,
            checkpoints=workspace.checkpoints / mark,
            on_epoch=on_epoch,
        )

    if not is_first():
        with following():
            trained(_ignore)
        return
    began, ends = time.monotonic(), list[float]()
    with live or nullcontext(_ignore) as report:

        def on_epoch(figures: EpochFigures) -> None:
            report(figures)
            ends.append(time.monotonic())
            first, count = (ends[0], len(ends) - 1) if len(ends) > 1 else (began, 1)
            rest = left((ends[-1] - first) / count * (train.all_epochs - figures.epoch))
            print(f"{epoch_line(figures, train.all_epochs)}; {rest}")

        curves = trained(on_epoch).curves
        write_rows(workspace.curves, EpochFigures, curves)
        write_json(workspace.train_metrics, curves[-1].model_dump(exclude_none=True))
        write_json(workspace.train_run, _run(workspace, recipe, time.monotonic() - began))


def finish(root: Path, data: Data, prepare: Prepare, model: Model, train: Train) -> None:
    """Remove the checkpoints, once the inputs are known to be unchanged."""
    if is_first():
        mark = Recipe(data, prepare, model, train).fingerprint(root)
        shutil.rmtree(Workspace(root, data.name).checkpoints / mark, ignore_errors=True)


def fit_into(
    folder: Path,
    store: PreparedDataset,
    recipe: Recipe,
    *,
    root: Path,
    mark: str,
    checkpoints: Path,
    on_epoch: OnEpoch,
) -> Trained:
    """Train on prepared images, and write weights.safetensors and model.json into a folder.

    Args:
        folder: the model folder.
        store: the prepared images.
        recipe: the settings.
        root: the repository.
        mark: the recipe's fingerprint.
        checkpoints: a folder for this fingerprint alone; the caller removes it.
        on_epoch: called with each new epoch's figures.

    Raises:
        HgmnetError: see `hgmnet.training.fit.fit`.
    """
    quiet_lightning()
    trained = fit(
        store,
        data=recipe.data,
        prepare=recipe.prepare,
        model=recipe.model,
        train=recipe.train,
        root=root,
        fingerprint=mark,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )
    if is_first():
        save_model(folder, trained.network, trained.spec)
    return trained


def refuse_own(workspace: Workspace, train: Train) -> None:
    """Check that training doesn't start from its own output, which DVC removes before it runs.

    Raises:
        ConfigError: `init_from` names models/hgmnet.
    """
    parent, own = train.init_from, workspace.model.resolve()
    if isinstance(parent, File) and (workspace.root / parent.path).resolve() == own:
        raise ConfigError(
            f"train.init_from: {parent.path} is the output of this training, and DVC empties it "
            f"before; name a copy of it instead: cp -r {parent.path} models/parent"
        )


def epoch_line(figures: EpochFigures, epochs: int) -> str:
    """Format an epoch's losses and figures in one line."""
    losses = f"loss {figures.train_loss:.3f}, val loss {figures.val_loss:.3f}"
    line = f"epoch {figures.epoch}/{epochs}: {losses}"
    if figures.val_lesion_dice is not None:
        line += f", lesion Dice {figures.val_lesion_dice:.3f}"
    if figures.val_coarse_dice is not None:
        line += f" (coarse {figures.val_coarse_dice:.3f})"
    if figures.val_accuracy is not None:
        line += f", accuracy {figures.val_accuracy:.3f}"
    return line


def _run(workspace: Workspace, recipe: Recipe, seconds: float) -> TrainRun:
    lineage, planned = read_lineage(workspace), plan(recipe.train)
    return TrainRun(
        git_commit=lineage.git_commit,
        git_dirty=lineage.git_dirty,
        device=torch.cuda.get_device_name() if planned.cuda else f"CPU ({platform.machine()})",
        processes=planned.processes,
        threads=torch.get_num_threads(),
        seconds=round(seconds, 1),
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        params={name: str(value) for name, value in flat_settings(recipe.sections).items()},
    )


def _ignore(_: EpochFigures) -> None:
    pass
