"""A repository with three registered versions, and a data set that none of them has seen."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import manifest
from hgmnet.data.image_record import ImageRecord
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.registry import verification
from pipelines.registry.tracking_store import tracking_uri
from tests.one_version import register_model
from tests.servers import postgresql
from tests.tiny_repository import (
    evaluated_image,
    judge,
    make_model,
    make_repository,
    write_evaluated,
)

TEST = 40


def make_contenders(root: Path) -> Workspace:
    """Version 1 finds half of each lesion, version 2 most of it, version 3 is like version 2."""
    workspace = make_repository(root)
    (workspace.root / "dvc.yaml").touch()
    for seed, dice in enumerate((0.5, 0.8, 0.8)):
        make_model(workspace, seed)
        write_evaluated(workspace, list(per_image(workspace, dice, seed)))
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


def per_image(workspace: Workspace, dice: float, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the test split, and one of val that would spoil everything."""
    rng = np.random.default_rng(seed)
    images = sorted(path.relative_to(workspace.raw) for path in workspace.raw.rglob("*.png"))
    for i in range(TEST + 1):
        label = "malignant" if i % 2 else "benign"
        yield evaluated_image(
            images[i % len(images)].as_posix(),
            "test" if i < TEST else "val",
            dice + rng.integers(-5, 6) / 100,
            pixel_sha256=f"{i:064x}",
            group=f"g{i // 2 + 100}",
            label=label,
            predicted=label,
            decision="malignant",
        )


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
