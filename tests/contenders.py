"""A repository with three registered versions, and a data set that none of them has seen."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import manifest
from hgmnet.data.atomic import write_table
from hgmnet.data.image_record import ImageRecord
from pipelines.artifacts.io import write_json, write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.registry import verification
from pipelines.registry.tracking_store import tracking_uri
from tests.made_up import evidence
from tests.one_version import register_model
from tests.servers import postgresql
from tests.tiny_repository import judge, make_model, make_repository

TEST = 40


_NETS = ("", "coarse_", "served_")


def make_contenders(root: Path) -> Workspace:
    """Version 1 finds half of each lesion, version 2 most of it, version 3 is like version 2."""
    workspace = make_repository(root)
    (workspace.root / "dvc.yaml").touch()
    write_json(workspace.validation, evidence().validation)
    for seed, dice in enumerate((0.5, 0.8, 0.8)):
        make_model(workspace, seed)
        rows = list(per_image(workspace, dice, seed))
        write_table(workspace.per_image, tuple(rows[0]), rows)
        judge(workspace, "passed")
        register_model(workspace)
    make_other(Workspace(workspace.root, "other"))
    return workspace


@contextmanager
def contenders_in(kind: str, root: Path) -> Iterator[tuple[Workspace, str]]:
    """Make them in a store, `sqlite` or `postgresql`; also its address. None is loaded back."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(verification, "verify", lambda *_: None)  # a process that takes seconds
        if kind == "postgresql":
            patch.setenv("MLFLOW_TRACKING_URI", stack.enter_context(postgresql()))
            patch.chdir(root)  # where MLflow keeps the files of such a store
        yield make_contenders(root), tracking_uri(root)


def per_image(workspace: Workspace, dice: float, seed: int) -> Iterator[dict[str, object]]:
    """Rows of the test split, and one of val that would spoil everything."""
    rng = np.random.default_rng(seed)
    images = sorted(path.relative_to(workspace.raw) for path in workspace.raw.rglob("*.png"))
    for i in range(TEST + 1):
        tp = round(100 * dice + rng.integers(-5, 6))
        counts = {"tp": tp, "fp": 100 - tp, "fn": 100 - tp}
        yield {
            "image": images[i % len(images)].as_posix(),
            "pixel_sha256": f"{i:064x}",
            "group": f"g{i // 2 + 100}",
            "label": "malignant" if i % 2 else "benign",
            "split": "test" if i < TEST else "val",
            "predicted": "malignant" if i % 2 else "benign",
            "decision": "malignant",
            "height": 40,
            "width": 50,
            **{f"{net}{name}": count for net in _NETS for name, count in counts.items()},
        }


def make_other(space: Workspace) -> None:
    """Images from elsewhere, each with a mask, and their manifest."""
    rng = np.random.default_rng(1)
    for i in range(6):
        label = ("benign", "malignant")[i % 2]
        path = space.raw / label / f"{label} ({i}).png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
        mask = np.zeros((40, 50), dtype=bool)
        mask[10:30, 10 + i : 40] = True
        Image.fromarray(mask).save(path.with_name(f"{path.stem}_mask.png"))
    records = (one.model_copy(update={"group": one.image}) for one in manifest.build(space.raw))
    write_rows(space.manifest, ImageRecord, records)
