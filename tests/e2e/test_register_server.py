"""Register against a tracking server, which keeps the artifacts itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hgmnet.config import load_params
from pipelines.stages import register
from tests.servers import mlflow_server
from tests.tiny_repository import make_repository


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
