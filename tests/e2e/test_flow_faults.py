"""Servers that go away under a flow: it waits, goes on, and does nothing twice."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from tests.processes import working_below
from tests.servers import free_port, mlflow_server, prefect_server_at
from tests.tiny_repository import make_talking_repository

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A repository up to `register`, its gate passed; each stage only writes its name down."""
    space = make_talking_repository(tmp_path / "repository")
    yield space
    deadline = time.monotonic() + 30
    while working_below(space.root) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not working_below(space.root)


def start(root: Path, api: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "flow", "training"],
        cwd=root,
        env=os.environ | {"PREFECT_API_URL": api} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """What it says up to a line with these words."""
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return said
    pytest.fail("".join(said))


def test_mlflow_that_comes_back_finds_the_run_waiting(workspace: Workspace, tmp_path: Path) -> None:
    """And a store that stays away costs no stage: all is on disk, one command ends it later."""
    root, port = workspace.root, free_port()
    (tmp_path / "mlflow").mkdir()
    with prefect_server_at(free_port(), tmp_path / "prefect") as api:
        process = start(root, api, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
        said = until(process, "Retry 1/3 will start")
        assert any("run `dvc repro register` when it is back" in line for line in said)
        with mlflow_server(tmp_path / "mlflow", port=port) as address:
            rest, _ = process.communicate(timeout=300)
            assert process.returncode == 0, rest
            model = MlflowClient(address).get_registered_model("hgmnet-phantom")
            assert model.aliases.keys() == {"challenger"}
            assert len(MlflowClient(address).search_model_versions()) == 1
    assert (root / "ran").read_text().split() == list(STAGES)[:-1]


def test_a_prefect_server_that_is_started_anew_under_a_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    root, port = workspace.root, free_port()
    stages = root / "dvc.yaml"
    stages.write_text(stages.read_text().replace("echo split >> ran", "sleep 5; echo split >> ran"))
    with prefect_server_at(port, tmp_path / "prefect") as api:
        process = start(root, api)
        until(process, "sleep 5")
    time.sleep(2)
    with prefect_server_at(port, tmp_path / "prefect"):
        rest, _ = process.communicate(timeout=300)
    assert process.returncode == 0, rest
    assert (root / "ran").read_text().split() == list(STAGES)[:-1]
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    assert client.get_registered_model("hgmnet-phantom").aliases.keys() == {"challenger"}
