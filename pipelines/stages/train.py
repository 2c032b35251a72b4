"""Stage train: train HGM-Net on the prepared images, or go on with a training that was killed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hgmnet.config import Data, Frozen, Model, Prepare, Train
from hgmnet.data.store import open_store
from hgmnet.devices import following, is_first
from hgmnet.learner import EpochFigures
from hgmnet.models.folder import save_model
from hgmnet.training import Trained, fit, quiet_lightning
from pipelines.artifacts import Workspace, write_json, write_rows
from pipelines.fingerprint import fingerprint
from pipelines.tracking import LiveCurves


def run(root: Path, data: Data, prepare: Prepare, model: Model, train: Train) -> None:
    """Write weights.safetensors, model.json and the curves: the first process does.

    Where several train, Lightning or torchrun runs this command once a process; those beside the
    first only train.

    Raises:
        HgmnetError: as `hgmnet.training.fit` does.
    """
    workspace = Workspace(root, data.name)
    sections: dict[str, Frozen] = {"data": data, "prepare": prepare, "model": model, "train": train}
    mark = fingerprint(root, "train", data.name, sections)
    checkpoints = workspace.state / "checkpoints" / mark
    quiet_lightning()

    def trained(on_epoch: Callable[[EpochFigures], None]) -> Trained:
        return fit(
            open_store(workspace.prepared),
            data=data,
            prepare=prepare,
            model=model,
            train=train,
            root=root,
            fingerprint=mark,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )

    if not is_first():
        with following():
            trained(lambda _: None)
        return
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    curves = LiveCurves(root, data.name, mark, dict(_flat(settings)))

    def tell(figures: EpochFigures) -> None:
        curves.log(figures.epoch, figures.model_dump(exclude={"epoch"}))
        print(_line(figures, train.epochs), flush=True)

    try:
        done = trained(tell)
    except BaseException as error:
        curves.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    save_model(workspace.model, done.network, done.spec)
    write_rows(workspace.curves, EpochFigures, done.curves)
    write_json(workspace.train_metrics, done.curves[-1])
    curves.finish("FINISHED")
    shutil.rmtree(checkpoints, ignore_errors=True)


def _line(figures: EpochFigures, epochs: int) -> str:
    return (
        f"epoch {figures.epoch}/{epochs}: loss {figures.train_loss:.3f}, val loss "
        f"{figures.val_loss:.3f}, lesion Dice {figures.val_lesion_dice:.3f} (coarse "
        f"{figures.val_coarse_dice:.3f}), accuracy {figures.val_accuracy:.3f}"
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str | float | bool]]:
    flat: list[tuple[str, str | float | bool]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append(
                (f"{prefix}{key}", value if isinstance(value, float | bool) else str(value))
            )
    return flat
