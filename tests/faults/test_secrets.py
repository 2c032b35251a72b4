"""Faults in what becomes of MLflow's password, and of a server that is gone."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from mlflow import MlflowClient

from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from pipelines.registry.live_curves import LiveCurves
from pipelines.registry.serving import load_version, newer
from pipelines.registry.study_runs import StudyRuns
from pipelines.registry.tracking_store import TrackingStore
from tests.servers import free_port, mlflow_server
from tests.three_versions import NAME, give_three_versions
from tests.tiny_repository import make_repository

pytestmark = pytest.mark.slow
SIGNED_IN = "admin:S3cretPw@"
LATE_S = 10.0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def gone() -> str:
    """Where no server answers."""
    return f"127.0.0.1:{free_port()}"


def test_a_server_that_is_gone_is_in_health(
    workspace: Workspace, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "127.0.0.1" in fault_in_health(workspace, f"http://{gone}", monkeypatch)


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="/health shows the password that is in MLflow's address",
)
def test_no_password_is_in_health(
    workspace: Workspace, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = fault_in_health(workspace, f"http://{SIGNED_IN}{gone}", monkeypatch)
    assert "S3cretPw" not in fault


@pytest.fixture
def served_by_one_that_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """`hgmnet serve` of a champion whose MLflow has ended since, with MLflow's own retries.

    Their pauses are half as long, so that all of them take two minutes, not four.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    space = give_three_versions(tmp_path / "repository")
    with mlflow_server(space.root, "sqlite:///mlflow.db") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        holder = load_version(space.root, None, 0.2).slot
    yield TestClient(build_app(holder))
    holder.stop()


@pytest.mark.long
def test_a_server_that_is_gone_is_in_health_soon(served_by_one_that_went: TestClient) -> None:
    assert wait_for_fault(served_by_one_that_went, LATE_S)


SAID_BY: dict[str, Callable[[Path], object]] = {
    "training": lambda root: LiveCurves(root, "phantom", "f", {}),
    "study": lambda root: StudyRuns(root, "phantom", root / "memo", name="crossval", params={}),
}


@pytest.mark.parametrize("who", SAID_BY)
def test_the_address_of_a_server_that_is_gone_is_printed(
    who: str,
    tmp_path: Path,
    gone: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{gone}")
    SAID_BY[who](tmp_path)
    assert "127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("who", SAID_BY)
def test_no_password_is_printed(
    who: str,
    tmp_path: Path,
    gone: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{SIGNED_IN}{gone}")
    SAID_BY[who](tmp_path)
    assert "S3cretPw" not in capsys.readouterr().err


def fault_in_health(workspace: Workspace, uri: str, patch: pytest.MonkeyPatch) -> str:
    """What /health says, at once, of a registry that does not answer."""
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = TrackingStore(MlflowClient(uri), uri, "1")
    holder = ModelSlot(load_folder(workspace.model))
    holder.watch(lambda: newer(store, NAME, workspace.state / "versions", holder), 0.02)
    try:
        fault = wait_for_fault(TestClient(build_app(holder)), 60)
    finally:
        holder.stop()
    if not fault:
        raise RuntimeError("nothing was noticed")
    return fault


def wait_for_fault(client: TestClient, seconds: float) -> str:
    """What /health says is wrong; empty where nothing is after that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fault := client.get("/health").json()["fault"]:
            return str(fault)
        time.sleep(0.05)
    return ""
