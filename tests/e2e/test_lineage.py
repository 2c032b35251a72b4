"""`hgmnet lineage`: its commands bring back the workspace and the weights, in a fresh clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hgmnet.models.spec import identity
from pipelines.artifacts import Workspace
from tests.change_plans import write_plans

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
LINEAGE = "python -m pipelines lineage"
SMALL = {
    "phantom": {
        "benign": 14, "malignant": 14, "normal": 12, "copies": 4,
        "width": 130, "height": 120,
    },
    "validate": {"min_per_class": 3},
    "prepare": {"side": 32},
    "model": {"encoder": "mobilenet_v2", "decoder_channels": [16, 16, 8, 8, 8]},
    "train": {"epochs": 1},
    "evaluate": {"draws": 100},
    "gate": {
        "checks": [
            {"metric": "lesion_dice", "bound": 0.0, "on": "point", "where": "all", "min_n": 1}
        ]
    },
}  # fmt: skip


def bash(folder: Path, command: str, status: int = 0) -> str:
    identity = {
        f"GIT_{who}_{what}": "me@here"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHONPATH"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=kept | identity | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose code is committed; then a model was made, pushed, and registered."""
    folder = tmp_path_factory.mktemp("lineage")
    root = folder / "here"
    for name in ("hgmnet", "pipelines"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data/phantom").mkdir(parents=True)
    for name in ("dvc.yaml", ".gitignore", "data/phantom/dvc.yaml", "data/phantom/curation.csv"):
        shutil.copy(ROOT / name, root / name)
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/quickstart.yaml").read_text())
    for section, values in SMALL.items():
        params[section] |= values
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    write_plans(root)
    bash(root, f"git init -q; dvc init -q; dvc remote add -q -d storage {folder / 'storage'}")
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots")
    bash(root, "git add .; git commit -qm code; dvc repro; dvc push -q")
    return root


def test_a_fresh_clone_has_the_same_weights_and_nothing_to_do(here: Path, tmp_path: Path) -> None:
    commit = bash(here, "git rev-parse HEAD").strip()
    bash(here, "git commit -q --allow-empty -m later; rm -rf .hgmnet/versions")
    said = bash(here, f"{LINEAGE} 1")
    assert f"commit       {commit}\n" in said
    commands = said[said.index("git clone") :]
    folder = tmp_path / re.findall(r"cd (\S+)", commands)[0]
    assert "Data and pipelines are up to date" in bash(tmp_path, commands)
    assert identity(Workspace(folder, "phantom").model) == identity(
        Workspace(here, "phantom").model
    )
    for name in ("params.yaml", "pccp.yaml", "data/phantom/split.csv"):
        assert (folder / name).read_bytes() == (here / name).read_bytes()
    locked = [YAML(typ="safe").load(f / "dvc.lock")["stages"] for f in (folder, here)]
    del locked[1]["register"]  # written when register had run, and so had kept the others
    assert locked[0] == locked[1]
    assert bash(folder, "git rev-parse HEAD").strip() == commit


def test_what_is_not_there_is_told(here: Path) -> None:
    assert "has no champion yet; say which version" in bash(here, LINEAGE, status=2)
    assert "has no version 9" in bash(here, f"{LINEAGE} 9", status=2)
