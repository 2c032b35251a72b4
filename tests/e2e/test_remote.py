"""A data set through a DVC remote: imported here, pulled elsewhere, the same there; it grows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hgmnet.config.data import Phantom
from hgmnet.phantom import generate
from pipelines.artifacts.paths import Workspace
from tests.change_plans import write_plans
from tests.whole_repository import copy_code

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
STAGES = ["ingest", "validate", "split", "prepare"]


def run(root: Path, *words: str) -> str:
    """What a command printed that ended well."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    identity = {
        f"GIT_{who}_{what}": "me@here"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        [sys.executable, "-m", *words] if words[0] in {"dvc", "pipelines"} else words,
        cwd=root,
        env=os.environ | identity | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def draw(folder: Path, count: int) -> Path:
    """A source of phantoms; more of them leaves those before as they are."""
    kinds = {"benign": count, "malignant": count, "normal": count}
    generate.generate(Phantom(seed=7, copies=0, width=130, height=120, **kinds), folder)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with an imported data set, prepared, pushed and committed."""
    folder = tmp_path_factory.mktemp("remote")
    root = folder / "here"
    copy_code(root)
    for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/quickstart.yaml").read_text())
    params["data"]["name"] = "clinic"
    params["validate"]["min_per_class"] = 8
    for check in params["gate"]["checks"]:
        check["min_n"] = 1
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    write_plans(root, allowed={"data": {"sets": ["clinic"]}})
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    run(root, "dvc", "remote", "add", "-d", "storage", str(folder / "storage"))
    run(root, "pipelines", "import", "clinic", str(draw(folder / "source", 8)))
    assert ran(run(root, "dvc", "repro", "prepare")) == STAGES
    run(root, "dvc", "push", "-q")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "-q", "-m", "data")
    return root


def test_a_fresh_clone_pulls_the_same_and_has_nothing_to_do(here: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    run(tmp_path, "git", "clone", "-q", str(here), str(there))
    assert not Workspace(there, "clinic").raw.exists()
    run(there, "dvc", "pull", "--allow-missing", "-q")
    for path in (here / "data").rglob("*"):
        if path.is_file():
            assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()
    assert ran(run(there, "dvc", "repro", "prepare")) == []
    assert run(there, "git", "status", "--porcelain") == ""


def test_a_grown_set_reruns_what_must_and_nobody_moves(here: Path, tmp_path: Path) -> None:
    space = Workspace(here, "clinic")
    run(here, "pipelines", "import", "clinic", str(here.parent / "source"), "--replace")
    assert ran(run(here, "dvc", "repro", "prepare")) == []  # the same images, imported again

    prepared = {path.name: path.read_bytes() for path in space.prepared.iterdir()}
    source = draw(tmp_path / "grown", 9)
    run(here, "pipelines", "import", "clinic", str(source), "--replace")
    names = [f"{label}/{label} (9).png" for label in ("benign", "malignant", "normal")]
    space.curation.write_text(
        "image,group,exclude,reason\n" + "".join(f"{name},,true,blurred\n" for name in names)
    )
    assert ran(run(here, "dvc", "repro", "prepare")) == STAGES
    assert {path.name: path.read_bytes() for path in space.prepared.iterdir()} == prepared

    before = space.split_csv.read_text().splitlines()
    run(here, "pipelines", "import", "clinic", str(draw(tmp_path / "more", 10)), "--replace")
    assert ran(run(here, "dvc", "repro", "prepare")) == STAGES
    after = space.split_csv.read_text().splitlines()
    assert set(before) <= set(after)
    assert len(after) == len(before) + 3
