"""Register against a tracking server, which keeps the artifacts itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hgmnet.config.params import load_params
from pipelines.stages import register
from tests.faulty import in_front_of
from tests.servers import mlflow_server
from tests.tiny_repository import make_model, make_repository


class Trouble:
    """Answers 500 to requests of a path until it is over, and keeps which."""

    def __init__(self, path: str) -> None:
        self.path, self.over, self.spoilt = path, False, []

    def __call__(self, method: str, path: str) -> float | None:
        if self.over or self.path not in path or method == "GET":
            return None
        self.spoilt.append((method, path))
        return 0


def start(root: Path, address: str) -> subprocess.Popen[str]:
    (root / "dvc.yaml").touch()
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "register"],
        cwd=root,
        env=os.environ | {"MLFLOW_TRACKING_URI": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def registered(root: Path, address: str) -> tuple[int, str]:
    """What `register` ends with and says."""
    process = start(root, address)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with mlflow_server(tmp_path) as url:
        yield url


@pytest.mark.slow
@pytest.mark.long
def test_the_same_over_http(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    workspace = make_repository(tmp_path / "repository")
    (workspace.root / "mlflow.db").unlink()
    params = load_params(workspace.root / "params.yaml")
    for _ in range(2):
        register.run(workspace.root, params.data, params.registry)
        out, err = capsys.readouterr()
        assert err == ""
        assert "hgmnet-phantom version 1, challenger" in out
        assert f"MLflow UI   {server}" in out
    assert not (workspace.root / "mlflow.db").exists()
    assert not (workspace.root / "mlartifacts").exists()
    assert list((tmp_path / "files").rglob("weights.safetensors"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.soak
@pytest.mark.parametrize(
    "path", ["runs/create", "mlflow-artifacts/artifacts", "model-versions/create", "alias"]
)
def test_a_server_that_answers_500_amid_a_registration(server: str, tmp_path: Path, path: str):
    """One line; and once it is well, one command ends it, with one run and one version."""
    root, trouble = make_repository(tmp_path / "repository").root, Trouble(path)
    with in_front_of(server, trouble) as address:
        status, said = registered(root, address)
        assert trouble.spoilt
        assert status == 2, said
        (line,) = (one for one in said.splitlines() if one.startswith("hgmnet: "))
        assert "500" in line
        assert line.endswith("everything is on disk, run `dvc repro register` when it is back")
        trouble.over = True
        status, said = registered(root, address)
    assert status == 0, said
    client = MlflowClient(server)
    assert client.get_registered_model("hgmnet-phantom").aliases.keys() == {"challenger"}
    assert len(client.search_model_versions()) == 1
    (experiment,) = client.search_experiments(filter_string="name = 'hgmnet-phantom'")
    runs = client.search_runs([experiment.experiment_id])
    assert len([run for run in runs if run.data.tags["hgmnet.kind"] == "decision"]) == 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.soak
def test_a_server_that_takes_half_a_minute_is_waited_for(server: str, tmp_path: Path):
    root = make_repository(tmp_path / "repository").root
    slow = {"runs/create": 30.0, "model-versions/create": 30.0}

    def spoil(_: str, path: str) -> float | None:
        return next((slow.pop(name) for name in list(slow) if path.endswith(name)), None)

    with in_front_of(server, spoil) as address:
        status, said = registered(root, address)
    assert status == 0, said
    assert not slow
    assert len(MlflowClient(server).search_model_versions()) == 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.soak
def test_registrations_at_once_of_two_checkouts_and_twice_of_one(server: str, tmp_path: Path):
    """A version a model, whoever comes first; one of them is the challenger."""
    one, other = (make_repository(tmp_path / name) for name in ("one", "other"))
    make_model(other, seed=1)
    processes = [start(space.root, server) for space in (one, other, one)]
    for process in processes:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    client = MlflowClient(server)
    versions = client.search_model_versions()
    assert len({version.tags["hgmnet.model"] for version in versions}) == len(versions) == 2
    assert {version.tags["hgmnet.verified"] for version in versions} == {"true"}
    aliases = client.get_registered_model("hgmnet-phantom").aliases
    assert aliases.keys() == {"challenger"}
    (experiment,) = client.search_experiments(filter_string="name = 'hgmnet-phantom'")
    runs = client.search_runs([experiment.experiment_id])
    assert len([run for run in runs if run.data.tags["hgmnet.kind"] == "decision"]) == 2
