"""A repository with our code in it, committed, whose every stage is real, only small."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

from ruamel.yaml import YAML

from pipelines.registry import database
from tests.change_plans import write_plans
from tests.shared import once
from tests.warm.launcher import run_folder

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "phantom": {
        "benign": 14, "malignant": 14, "normal": 12, "copies": 4,
        "width": 130, "height": 120,
    },
    "validate": {"min_per_class": 3},
    "prepare": {"side": 32},
    "model": {"encoder": "tu-test_resnet", "decoder_channels": [16, 16, 8, 8, 8]},
    "train": {"epochs": 1},
    "evaluate": {"draws": 100},
    "promotion": {"min_groups": 1},
    "gate": {
        "checks": [
            {"metric": "lesion_dice", "bound": 0.0, "on": "point", "where": "all", "min_n": 1}
        ]
    },
}  # fmt: skip


def make_repository(root: Path) -> Path:
    """It, in a folder that is not there yet; nothing has run."""
    copy_code(root)
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
    bash(root, "git init -q; dvc init -q")
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots")
    for name in ("config", "plots.html"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    bash(root, "git add .; git commit -qm code")
    return root


def give_finished(root: Path) -> str:
    """Copy one with a DVC remote in which `dvc repro` has run, made once per test run.

    Returns what that printed.
    """
    made = once("finished", _make_finished)
    shutil.copytree(made / "here", root, symlinks=True)
    with redirect_stderr(io.StringIO()):
        database.prepare(root, f"sqlite:///{root}/mlflow.db")
    return (made / "printed").read_text()


def _make_finished(folder: Path) -> None:
    root = make_repository(folder / "here")
    bash(root, f"dvc remote add -q -d storage {run_folder()}/storage; git commit -qam remote")
    (folder / "printed").write_text(bash(root, "dvc repro"))


def copy_code(root: Path, *packages: str) -> None:
    """Copy our packages, both unless named, with what Python has compiled: it takes seconds."""
    for name in packages or ("hgmnet", "pipelines"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.pyc.*"))


def environment() -> dict[str, str]:
    """What a command there runs in: our programs, git with a name, no server that is elsewhere."""
    identity = {
        f"GIT_{who}_{what}": "me@here"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHONPATH"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | identity | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def bash(folder: Path, command: str, status: int = 0) -> str:
    """What a command prints, stderr too; it must end with this status."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout
