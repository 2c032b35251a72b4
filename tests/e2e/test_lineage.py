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


def test_publish_tags_what_a_clone_needs_and_can_be_repeated(here: Path, tmp_path: Path) -> None:
    """The push fails first; then the same command ends it. The checkout stays as it was."""
    origin = tmp_path / "origin.git"
    before = bash(here, "git status --porcelain; git rev-parse HEAD; git branch --show-current")
    assert "no `dvc gc` yet: version 1 of" in bash(here, "python -m pipelines clean")
    bash(here, f"git remote add origin {origin}")
    assert "`git push` failed" in bash(here, "python -m pipelines publish", status=1)
    bash(here, f"git init -q --bare {origin}; git push -q origin HEAD:main")
    said = [bash(here, "python -m pipelines publish").splitlines()[-1] for _ in range(2)]
    assert said[0] == said[1]
    assert re.match(r"hgmnet-phantom-v1: commit \w{7} on published/hgmnet-phantom, pushed", said[0])
    assert "`dvc gc --workspace --all-tags`" in bash(here, "python -m pipelines clean")
    after = bash(here, "git status --porcelain; git rev-parse HEAD; git branch --show-current")
    assert after == before
    assert len(bash(here, "git log --oneline HEAD..published/hgmnet-phantom").splitlines()) == 1

    folder = tmp_path / "clone"
    bash(tmp_path, f"git clone -q -b hgmnet-phantom-v1 {origin} clone")
    bash(folder, "dvc pull -q --allow-missing")
    assert identity(Workspace(folder, "phantom").model) == identity(
        Workspace(here, "phantom").model
    )
    assert "Data and pipelines are up to date" in bash(folder, "dvc status report")

    (here / "pipelines/another.py").write_text("")
    assert "changes that no commit holds" in bash(here, "python -m pipelines publish", status=2)
    (here / "pipelines/another.py").unlink()
