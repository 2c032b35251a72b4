"""What becomes of passwords in addresses, and of a server that is gone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from mlflow import MlflowClient

from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from pipelines.operations.local_services import Services
from pipelines.registry.live_curves import LiveCurves
from pipelines.registry.serving import newer, serve_version
from pipelines.registry.study_runs import StudyRuns
from pipelines.registry.tracking_store import TrackingStore, tracking_uri
from pipelines.system.dvc import call
from tests.run_here import run_here
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
        holder = serve_version(space.root, None, 0.2).slot
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


COMMANDS = {
    "versions": ("versions",),
    "history": ("history",),
    "lineage": ("lineage", "1"),
    "promote": ("promote", "--dry-run"),
    "register": ("stage", "register"),
    "publish": ("publish",),
    "doctor": ("doctor",),
    "import": ("import", "clinic", "https://me:S3cretPw@{gone}/x.zip?token=S3cretPw"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_command_shows_or_keeps_what_is_in_an_address(
    words: tuple[str, ...], workspace: Workspace, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every address has a password, and nothing answers."""
    root = workspace.root
    (root / "dvc.yaml").touch()
    monkeypatch.setattr(time, "sleep", lambda _: None)  # pauses before MLflow is tried again
    for name, value in {
        "MLFLOW_TRACKING_URI": f"http://admin:S3cretPw@{gone}",
        "MLFLOW_TRACKING_TOKEN": "S3cretPw",
        "PREFECT_API_URL": f"http://me:S3cretPw@{gone}/api",
        "PREFECT_API_AUTH_STRING": "me:S3cretPw",
    }.items():
        monkeypatch.setenv(name, value)
    ended = run_here(root, *(word.format(gone=gone) for word in words))
    assert gone in ended.output
    assert "S3cretPw" not in ended.output
    assert [file for file in root.rglob("*") if holds(file, b"S3cretPw")] == []


@pytest.mark.parametrize("driver", ["pg8000", "missing"])
def test_no_command_shows_a_databases_password(
    driver: str, workspace: Workspace, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "dvc.yaml").touch()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    address = f"postgresql+{driver}://admin:a/S3cretPw@{gone}/db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    ended = run_here(workspace.root, "versions")
    assert (ended.status, ended.out) == (2, "")
    assert gone in ended.err
    assert "S3cretPw" not in ended.err


def holds(file: Path, secret: bytes) -> bool:
    return file.is_file() and (secret in file.read_bytes() or secret in file.name.encode())


def test_what_dvc_says_of_its_remote_has_no_password(tmp_path: Path, gone: str) -> None:
    """As `hgmnet publish` and every flow pass it on, and in the error that ends them."""
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    remote = ["remote", "add", "-q", "-d", "far", f"http://me:S3cretPw@{gone}/there?sig=S3cretPw"]
    subprocess.run([*dvc, *remote], cwd=tmp_path, check=True)
    lines: list[str] = []
    call(tmp_path, ["remote", "list"], lines.append)
    assert any(gone in line for line in lines)
    with pytest.raises(HgmnetError) as raised:
        call(tmp_path, ["get-url", f"http://me:S3cretPw@{gone}/x", "x"], lines.append)
    assert "S3cretPw" not in f"{lines} {raised.value}"


@pytest.mark.parametrize("address", ["http://me:S3cretPw@127.0.0.1/api", "http://h:S3cretPw/api"])
def test_up_names_a_server_that_is_gone_without_its_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)
    with Services(tmp_path) as services, pytest.raises(ConfigError, match="does not answer") as it:
        services.start_prefect(free_port())
    if "@" in address:
        assert "S3cretPw" not in str(it.value)


def test_a_servers_password_reaches_it_by_mlflows_own_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:S3cret%40Pw@mlflow.example/of/us")
    assert tracking_uri(tmp_path) == "https://mlflow.example/of/us"
    assert tracking_uri(tmp_path) == os.environ["MLFLOW_TRACKING_URI"]
    known = [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")]
    assert known == ["me", "S3cret@Pw"]


def fault_in_health(workspace: Workspace, uri: str, patch: pytest.MonkeyPatch) -> str:
    """What /health says, at once, of a registry that does not answer."""
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = TrackingStore(MlflowClient(uri), uri, "1", "hgmnet-phantom")
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
