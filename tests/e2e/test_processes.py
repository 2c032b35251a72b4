"""Two processes that train as one: by the stage's own command, by torchrun, and killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from pandas.testing import assert_frame_equal as assert_close
from ruamel.yaml import YAML
from safetensors.torch import load_file
from small_store import params, small_store

from hgmnet.models.ensemble import members
from hgmnet.models.serialization import load_model
from hgmnet.models.spec import WEIGHTS
from pipelines.artifacts.paths import Workspace
from tests.change_plans import write_plans
from tests.warm.launcher import real_python

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]


def repository(root: Path, **train) -> Workspace:
    """As `prepare` leaves it: 18 small squares, and a recipe of two epochs of three batches."""
    root.mkdir()
    for name in ("hgmnet", "pipelines", "dvc.yaml"):
        (root / name).symlink_to(ROOT / name)
    small_store(root / "data/phantom/prepared")
    settings = params(**{"epochs": 2, "learning_rate": 1e-3} | train)
    plain = settings.model_dump(mode="json", by_alias=True)
    plain["model"] |= {"encoder": "tu-test_efficientnet"}
    with (root / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(plain, file)
    write_plans(root)
    return Workspace(root, "phantom")


def start(
    workspace: Workspace, *command: str, python: str = sys.executable
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", *command, "train"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


STAGE = ("pipelines",)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pipelines")


def ended(workspace: Workspace, *command: str) -> str:
    """What a training that ends well has printed."""
    out, err = (process := start(workspace, *command)).communicate()
    assert process.returncode == 0, err
    return out


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Workspace:
    workspace = repository(tmp_path_factory.mktemp("alone") / "repository")
    ended(workspace, *STAGE)
    return workspace


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Workspace, str]:
    workspace = repository(tmp_path_factory.mktemp("together") / "repository", devices=2)
    return workspace, ended(workspace, *TORCHRUN)


def test_two_processes_train_what_one_does(alone, together):
    two, _ = together
    assert_close(pd.read_csv(alone.curves), pd.read_csv(two.curves), rtol=1e-4, atol=5e-5)
    one, other = (load_file(w.model / WEIGHTS) for w in (alone, two))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=3e-4)


def test_the_first_process_alone_tells_and_writes(together):
    two, out = together
    assert [line[:9] for line in out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert not list((two.state / "checkpoints").iterdir())
    client = MlflowClient(f"sqlite:///{two.root}/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in history] == [1, 2]


def test_two_processes_train_every_member(tmp_path):
    two = repository(tmp_path / "ensemble", devices=2, members=2, epochs=1)
    assert [line[:9] for line in ended(two, *STAGE).splitlines()] == ["epoch 1/2", "epoch 2/2"]
    network, spec = load_model(two.model)
    assert len(members(network)) == spec.members == 2


def test_a_killed_first_process_leaves_nobody_and_is_gone_on_with(together, tmp_path):
    two = repository(tmp_path / "two", devices=2)
    with start(two, *STAGE, python=real_python()) as first:  # the second is a child of it
        assert first.stdout.readline().startswith("epoch 1/2")
        (second,) = children(first.pid)
        first.kill()
    deadline = time.monotonic() + 20
    while lives(second) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not lives(second)
    assert not (two.model / WEIGHTS).exists()
    assert ended(two, *STAGE).splitlines()[-1].startswith("epoch 2/2")
    one, other = (load_file(w.model / WEIGHTS) for w in (together[0], two))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_loss_that_is_no_number_is_reported_once(tmp_path):
    two = repository(tmp_path / "two", devices=2, learning_rate=1e30)
    out, err = (process := start(two, *STAGE)).communicate()
    assert process.returncode == 1
    assert "epoch" not in out
    assert said(err) == ["training diverged in epoch 1, step 2"]


def test_a_checkpoint_that_cannot_be_written_ends_both(tmp_path):
    two = repository(tmp_path / "two", devices=2)
    two.state.mkdir()
    (two.state / "checkpoints").write_text("in the way")
    _, err = (process := start(two, *STAGE)).communicate()
    assert process.returncode == 1
    assert said(err) == ["could not write the checkpoint of epoch 1"]


def said(err: str) -> list[str]:
    """The lines that say why it ended, up to the first colon; no traceback beside them."""
    assert "Traceback" not in err, err
    words = "hgmnet: Failed: ", "hgmnet: Checkpoint: "
    return [
        line.removeprefix(word).partition(":")[0]
        for line in err.splitlines()
        for word in words
        if line.startswith(word)
    ]
