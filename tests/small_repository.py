"""A repository as `prepare` leaves it: two dozen small images, their store, and the settings."""

import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML
from small_store import CLASSES, QUICKSTART, SIZE, entry

from hgmnet.config.params import Params, load_params
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.prepared import PreparedImage, write_store
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.serialization import save_model
from hgmnet.models.spec import FORMAT, Seen, Spec
from pipelines.artifacts.io import write_json, write_rows
from pipelines.artifacts.paths import Workspace
from tests.change_plans import write_plans
from tests.made_up import evidence
from tests.records import record

SPLITS = ("train", "train", "val", "train", "test", "train")


def make_repository(root: Path, count: int = 24, **changes) -> Workspace:
    """Raw images with masks, prepared arrays, params.yaml; `changes` by section."""
    workspace = Workspace(root, "phantom")
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(QUICKSTART.parents[1] / "dvc.yaml", root / "dvc.yaml")
    write_params(root, **changes)
    generator = np.random.default_rng(0)
    entries, squares = [], []
    for i in range(count):
        label = CLASSES[i % 3]
        image = generator.integers(0, 120, (SIZE, SIZE), dtype=np.uint8)
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        if label != "normal":
            mask[8:20, 10:22] = True
            image[mask] = 255 if label == "benign" else 180
        name = f"{label}/{i}"
        path = workspace.raw / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        Image.fromarray(mask).save(workspace.raw / f"{name}_mask.png")
        entries.append(
            entry(
                f"{name}.png",
                masks=f"{name}_mask.png",
                label=label,
                split=SPLITS[(i // 3) % len(SPLITS)],
                pixel_sha256=f"{i:064x}",
                height=SIZE,
                width=SIZE,
            )
        )
        squares.append((image, mask))
    write_store(workspace.prepared, tuple(entries), SIZE, squares)
    write_rows(workspace.manifest, ImageRecord, map(_recorded, entries))
    write_plans(root)
    return workspace


def _recorded(entry: PreparedImage) -> ImageRecord:
    lesion = 144 * (entry.label != "normal")
    known = {"width": entry.width, "height": entry.height, "group": entry.group}
    return record(entry.image, pixel_sha256=entry.pixel_sha256, mask_pixels=lesion, **known)


def write_params(root: Path, **changes) -> Params:
    """The quickstart's settings for this repository."""
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(QUICKSTART.read_text())
    params["prepare"]["side"] = SIZE
    params["model"] |= {"encoder": "tu-test_resnet", "decoder_channels": [16, 16, 8, 8, 8]}
    params["train"] |= {"epochs": 1, "batch_size": 4, "accelerator": "cpu"}
    params["evaluate"]["draws"] = 100
    params["promotion"]["min_groups"] = 1
    for section, values in changes.items():
        params[section] |= values
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    return load_params(root / "params.yaml")


def put_model(workspace: Workspace) -> Params:
    """An untrained network, as `train` leaves one, and what else a report is made of."""
    params = load_params(workspace.root / "params.yaml")
    torch.manual_seed(0)
    spec = Spec(
        format=FORMAT,
        model=params.model,
        prepare=params.prepare,
        classes=params.data.classes,
        mean=0.4,
        std=0.2,
        data="phantom",
        seed=0,
        fingerprint="f",
        parent=None,
        seen=Seen(train=("elsewhere",), val=(), groups=(), parent=()),
    )
    save_model(workspace.model, HGMNet(params.model, len(params.data.classes)), spec)
    write_json(workspace.validation, evidence().validation)
    write_rows(workspace.curves, type(_epoch(params)), [_epoch(params)])
    return params


def _epoch(params: Params):
    from hgmnet.training.lightning_module import EpochFigures

    model = params.model
    return EpochFigures(
        epoch=1,
        learning_rate=1e-3,
        train_loss=1.0,
        val_loss=1.0,
        val_lesion_dice=0.5 if model.segments else None,
        val_coarse_dice=0.5 if model.coarse else None,
        val_accuracy=0.5 if model.classifies else None,
        gate_correlation=0.0,
        gate_gamma=0.0,
    )
