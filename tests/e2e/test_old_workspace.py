"""What an earlier release left in a checkout is taken over: registry, champion, history, models."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from hgmnet.config.base import ADDED
from pipelines.registry.tracking_store import tracking_uri
from pipelines.registry.verification import predict_in_fresh_process
from tests.imports import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.long]
OLD = "d353446"
NAME = "hgmnet-phantom"
MAKE = """
import os, sys
from pathlib import Path
from pipelines.__main__ import main
from pipelines.registry import elsewhere
from tests.contenders import make_contenders

elsewhere.verify = lambda *_: None  # three processes; a test below loads a version back
make_contenders(Path(sys.argv[1]))
os.chdir(sys.argv[1])
sys.exit(main(["promote", "--version", "1", "--approve", "--reason", "the first"]))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three versions and a champion, made by the old commit's own code."""
    folder = tmp_path_factory.mktemp("old")
    packed = folder / "old.tar"
    known = ["git", "cat-file", "-e", f"{OLD}^{{commit}}"]
    if subprocess.run(known, cwd=REPOSITORY, capture_output=True, check=False).returncode:
        pytest.skip(f"commit {OLD} is not in this clone's history")
    subprocess.run(["git", "archive", "-o", str(packed), OLD], cwd=REPOSITORY, check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "code", filter="data")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    (folder / "make.py").write_text(MAKE)
    done = subprocess.run(
        [sys.executable, str(folder / "make.py"), str(folder / "repository")],
        cwd=folder / "code",
        env=kept | {"PYTHONPATH": str(folder / "code")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return folder / "repository"


def hgmnet(root: Path, *words: str) -> str:
    command = [sys.executable, "-m", "pipelines", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def renamed(root: Path) -> Path:
    """With one setting renamed, and the new ones added, as the error states."""
    params = root / "params.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "versions"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if "evaluate.open_test is now evaluate.include_test" not in done.stderr:
        raise RuntimeError(done.stdout + done.stderr)
    yaml = YAML()
    tree = yaml.load(params.read_text().replace("open_test:", "include_test:"))
    for name, value in ADDED.items():
        *sections, key = name.split(".")
        if f"{name} is new; add {key}: {value}" not in done.stderr:
            raise RuntimeError(done.stdout + done.stderr)
        place = tree
        for section in sections:
            place = place[section]
        place[key] = value
    tree["promotion"]["min_groups"] = 1  # the repository is small
    yaml.dump(tree, params)
    return root


def test_versions_and_history_are_read(renamed: Path) -> None:
    root = renamed
    assert "champion" in hgmnet(root, "versions")
    history = hgmnet(root, "history")
    assert "the first" in history
    assert "every link holds" in history


def test_the_champion_predicts_and_a_challenger_is_compared_with_it(renamed: Path) -> None:
    root = renamed
    image = next((root / "data/phantom/raw").rglob("*.png"))
    said = hgmnet(root, "predict", str(image), "--out", "out")
    assert f"{NAME} version 1" in said
    assert (root / "out/predictions.csv").read_text().count("\n") == 2
    words = ("promote", "--version", "2", "--data", "other", "--approve", "--reason", "better")
    hgmnet(root, *words)
    aliases = MlflowClient(tracking_uri(root)).get_registered_model(NAME).aliases
    assert str(aliases["champion"]) == "2"


def test_a_version_loads_with_the_code_that_was_packed_with_it(renamed: Path) -> None:
    image = next((renamed / "data/phantom/raw").rglob("*.png")).read_bytes()
    (answer,) = predict_in_fresh_process(tracking_uri(renamed), f"models:/{NAME}/1", [image])
    assert sum(answer.probs.values()) == pytest.approx(1, abs=1e-6)
