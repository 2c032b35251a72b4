"""Register against a tracking server, which keeps the artifacts itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hgmnet.config import load_params
from pipelines.stages import register
from tests.tiny_repository import make_repository


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "files"]
    process = subprocess.Popen(
        [*command, *places],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not answer within two minutes")


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
