"""Faults, injected for real into a run whose every stage is real; docs/reliability.md tells of all.

In none of them: a version registered that did not pass, a split changed, a hash chain broken, a
training that can't go on, an orphan.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from tests import shared
from tests.processes import working_below
from tests.whole_repository import bash, environment, make_repository

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc"),
]
WORK_S = {"phantom": 0.8, "ingest": 1.0, "train": 2.0, "evaluate": 1.5, "register": 1.5}
"""How long a stage is at work before it is killed; the others are short."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository whose every stage was killed once, then went on; and its splits meanwhile."""
    root = make_repository(tmp_path_factory.mktemp("faults") / "here")
    split, splits = root / "data/phantom/split.csv", []
    for stage in STAGES:
        kill_in(root, stage)
        assert versions(root) == []
        splits += [split.read_text()] if split.exists() else []
    bash(root, "dvc repro")
    return root, [*splits, split.read_text()]


def kill_in(root: Path, stage: str) -> None:
    """SIGKILL to DVC and to all that it started, in the midst of a stage."""
    process = start(root)
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Running stage") and line.rstrip("':\n").endswith(stage):
            break
    else:
        process.communicate()
        pytest.fail(f"{stage} never ran: {said}")
    time.sleep(WORK_S.get(stage, 0.3))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def start(root: Path, command: str = "dvc repro") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=root,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def versions(root: Path) -> list[str]:
    """Those that have an alias: challenger or champion."""
    if not (root / "mlflow.db").exists():
        return []
    models = MlflowClient(f"sqlite:///{root}/mlflow.db").search_registered_models()
    return sorted(str(number) for model in models for number in model.aliases.values())


def test_sigkill_in_every_stage_costs_no_more_than_the_stage(
    killed: tuple[Path, list[str]],
) -> None:
    root, splits = killed
    assert len(set(splits)) == 1
    assert versions(root) == ["1"]
    assert "up to date" in bash(root, "dvc status report")
    assert "verified" in bash(root, "python -m pipelines promote; python -m pipelines history")
    assert not working_below(root)


@pytest.fixture
def here(killed: tuple[Path, list[str]]) -> Iterator[Path]:
    """The repository, whole; and whole again afterwards, with the one version that it had."""
    root, splits = killed
    before = (root / "params.yaml").read_text()
    bash(root, "dvc repro")
    yield root
    (root / "params.yaml").write_text(before)
    bash(root, "dvc repro")
    assert (root / "data/phantom/split.csv").read_text() == splits[0]
    assert versions(root) == ["1"]


@pytest.mark.parametrize(
    ("edited", "rate"), [("params.yaml", 0.002), ("hgmnet/training/losses.py", 0.0025)]
)
def test_what_is_edited_while_a_training_runs(here: Path, edited: str, rate: float) -> None:
    """DVC notes params and code as they are at a stage's end; the model was made from others."""
    file = here / edited
    set_rate(here / "params.yaml", rate)
    before = file.read_text()
    checkpoints = here / ".hgmnet/checkpoints"
    standing = {*checkpoints.glob("*")}
    process = start(here, "dvc repro -s train")
    while process.poll() is None and {*checkpoints.glob("*")} <= standing:
        time.sleep(0.05)
    if edited == "params.yaml":
        set_rate(file, 0.004)
    else:
        file.write_text(before + "\n# Another comment.\n")
    said, _ = process.communicate(timeout=120)
    assert process.returncode, said
    assert "changed while train ran, so its outputs are discarded" in said
    assert edited in said
    assert locked_rate(here) not in {rate, 0.004}

    file.write_text(before)
    assert "epoch 1/1" in said
    assert "epoch 1/1" not in bash(here, "dvc repro -s train")  # it was trained already
    assert locked_rate(here) == rate


def locked_rate(root: Path) -> float:
    train = YAML(typ="safe").load(root / "dvc.lock")["stages"]["train"]
    rate: float = train["params"]["params.yaml"]["train"]["learning_rate"]
    return rate


def set_rate(file: Path, rate: float) -> None:
    yaml = YAML()
    params = yaml.load(file.read_text())
    params["train"]["learning_rate"] = rate
    with file.open("w") as out:
        yaml.dump(params, out)


@pytest.mark.parametrize("stage", ["prepare", "evaluate"])
def test_an_image_that_is_gone_is_named(here: Path, stage: str) -> None:
    (image, *_) = sorted((here / "data/phantom/raw").glob("*/*.png"))
    image.unlink()
    said = bash(here, f"python -m pipelines {stage}", status=4)
    assert said.splitlines()[-1].startswith("hgmnet: InvalidData: ")
    assert image.name.partition(".")[0] in said
    assert "restore it (dvc checkout" in said


def test_weights_that_rotted_in_the_cache_are_not_registered(here: Path) -> None:
    """DVC trusts a file in its cache that is marked read-only, as a bad disk leaves it."""
    weights = Workspace(here, "phantom").model / "weights.safetensors"
    (cached,) = [
        file
        for file in (here / ".dvc/cache/files/md5").rglob("*")
        if file.is_file() and file.read_bytes() == weights.read_bytes()
    ]
    good = cached.read_bytes()
    cached.chmod(0o644)
    cached.write_bytes(good[:-4] + bytes(4))
    cached.chmod(0o444)
    shutil.rmtree(weights.parent)
    said = bash(here, "dvc checkout -q; dvc repro -s register", status=255)
    assert "is not the model that was evaluated" in said
    cached.chmod(0o644)
    cached.write_bytes(good)
    shutil.rmtree(weights.parent)
    bash(here, "dvc checkout -q")


def test_files_dated_in_the_future_as_a_clock_moved_back_leaves_them(here: Path) -> None:
    tomorrow = time.time() + 86_400
    for file in here.rglob("*"):
        if ".git" not in file.parts and file.is_file():
            os.utime(file, (tomorrow, tomorrow))
    assert "Data and pipelines are up to date" in bash(here, "dvc status report")
    set_rate(here / "params.yaml", 0.0021)
    assert "changed" in bash(here, "dvc status train")


@pytest.mark.parametrize("stage", ["prepare", "register"])
def test_a_full_disk_ends_a_stage_in_a_line_and_room_mends_it(
    here: Path, stage: str, small_disk: Path
) -> None:
    """The repository on a disk of its own, which is then filled to the last block."""
    root = small_disk / "here"
    shutil.copytree(here, root, symlinks=True)
    if stage == "prepare":
        shutil.rmtree(root / "data/phantom/prepared")  # or what it makes fits into its own place
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**29))
    process = start(root, f"dvc repro -f -s {stage}")
    said, _ = process.communicate(timeout=120)
    assert process.returncode, said
    assert "Traceback" not in said
    filler.unlink()
    if "broken" in (doctor := bash(root, "python -m pipelines doctor || true")):
        (lock,) = re.findall(r"rm (\S+rwlock)", doctor)  # a flow removes it by itself
        Path(lock).unlink()
    bash(root, "dvc repro")
    assert versions(root) == ["1"]
    assert "up to date" in bash(root, "dvc status report")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with shared.small_disk(tmp_path, 450):
        yield tmp_path
