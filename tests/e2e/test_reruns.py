"""What is edited reruns the stages that depend on it, and no other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.imports import REPOSITORY
from tests.whole_repository import copy_code

BOOKKEEPING = (
    "hgmnet/errors.py",
    "hgmnet/config/evaluation.py",
    "hgmnet/config/params.py",
    "hgmnet/metrics/catalogue.py",
    "hgmnet/evaluation/figures.py",
    "pipelines/artifacts/evaluation.py",
    "pipelines/artifacts/paths.py",
    "pipelines/cli/main.py",
    "pipelines/flows/training.py",
    "pipelines/gate/checks.py",
    "pipelines/promotion/promote.py",
    "pipelines/registry/tracking_store.py",
    "pipelines/report/html.py",
    "hgmnet/serving/api.py",
    "pipelines/stages/runner.py",
    "pipelines/system/dvc.py",
)
"""One of each kind of file that can't change a model."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our code and dvc.yaml with dummy data, `prepare` and `train` up to date by dvc.lock."""
    root = tmp_path_factory.mktemp("reruns")
    copy_code(root)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, root)
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    for stage in ("prepare", "train"):
        for kind in ("deps", "outs", "metrics", "plots"):
            for item in stages[stage].get(kind, []):
                path = item if isinstance(item, str) else next(iter(item))
                make(root / path.replace("${data.name}", "phantom"))
    dvc(root, "init", "-q", "--no-scm")
    dvc(root, "commit", "-q", "-f", "prepare", "train")
    return root


def make(path: Path) -> None:
    """A file, or a folder with one, where nothing is yet."""
    if path.exists():
        return
    if not path.suffix:
        path /= "content"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)


def dvc(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=root,
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def append_comment(root: Path, name: str) -> None:
    with (root / name).open("a") as file:
        file.write("# A comment.\n")


def test_bookkeeping_reruns_neither_prepare_nor_train(repository: Path) -> None:
    assert "up to date" in dvc(repository, "status", "prepare", "train")
    for name in BOOKKEEPING:
        append_comment(repository, name)
    assert "up to date" in dvc(repository, "status", "prepare", "train")


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("hgmnet/data/resize.py", ["prepare", "train"]),
        ("hgmnet/training/losses.py", ["train"]),
        ("hgmnet/models/gating.py", ["train"]),
    ],
)
def test_what_can_change_a_model_reruns_it(repository: Path, name: str, stages: list[str]) -> None:
    before = (repository / name).read_text()
    append_comment(repository, name)
    status = dvc(repository, "status", "prepare", "train")
    (repository / name).write_text(before)
    assert [stage for stage in ("prepare", "train") if f"{stage}:" in status] == stages
