"""A store of squares with bright discs, and the settings to train on it in seconds."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hgmnet.config.params import Params, load_params
from hgmnet.data.prepared import PreparedDataset, PreparedImage, open_prepared, write_store
from hgmnet.models.hgmnet import HGMNet

QUICKSTART = Path(__file__).resolve().parents[1] / "profiles" / "quickstart.yaml"
SIZE = 32
CLASSES = ("benign", "malignant", "normal")


def params(**train) -> Params:
    """The quickstart's settings at 32 px, with a small network and two epochs."""
    plain = deepcopy(_quickstart())
    plain["prepare"] |= {"side": SIZE, "fit": "stretch"}
    plain["model"] |= {"encoder": "tu-test_resnet", "decoder_channels": (16, 16, 8, 8, 8)}
    plain["train"] |= {"epochs": 2, "batch_size": 4, "accelerator": "cpu"} | train
    return Params.model_validate(plain)


@cache
def _quickstart() -> dict[str, Any]:
    return load_params(QUICKSTART).model_dump(by_alias=True)


def small_store(folder: Path, count: int = 18) -> PreparedDataset:
    """`count` images, classes in turn, every third of each in val and test; discs for lesions."""
    generator = np.random.default_rng(0)
    entries, squares = [], []
    for i in range(count):
        label = CLASSES[i % 3]
        image = generator.integers(0, 120, (SIZE, SIZE), dtype=np.uint8)
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        if label != "normal":
            mask[8:20, 10:22] = True
            image[mask] = 255 if label == "benign" else 180
        split = ("train", "train", "val", "train", "test", "train")[(i // 3) % 6]
        entries.append(
            entry(f"{label}/{i}.png", label=label, split=split, pixel_sha256=f"{i:064x}")
        )
        squares.append((image, mask))
    write_store(folder, tuple(entries), SIZE, squares)
    return open_prepared(folder)


def entry(image: str, **changes) -> PreparedImage:
    known = {
        "image": image,
        "masks": "",
        "pixel_sha256": image,
        "label": "benign",
        "group": image,
        "split": "train",
        "height": 40,
        "width": 50,
    }
    return PreparedImage(**(known | changes))


def network(**changes) -> HGMNet:
    """One for three classes, its weights from seed 0; `changes` to the model's settings."""
    torch.manual_seed(0)
    return HGMNet(params().model.model_copy(update=changes), 3)
