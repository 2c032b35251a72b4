"""An S3-compatible store (moto's server): DVC's remote, and the artifacts of MLflow's server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor
from pipelines.registry.serving import serve_version
from tests.one_version import make_one_version
from tests.run_here import must_run
from tests.servers import mlflow_server

boto3 = pytest.importorskip("boto3")
pytestmark = pytest.mark.slow
BUCKET = "hgmnet"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def store(address: str, monkeypatch: pytest.MonkeyPatch):
    """A client of the store; the environment of whoever uses it."""
    known = {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}
    for name, value in known.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
    client = boto3.client("s3", endpoint_url=address)
    client.create_bucket(Bucket=BUCKET)
    return client


def keys(store, prefix: str) -> list[str]:
    found = store.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [one["Key"] for one in found.get("Contents", [])]


def test_data_is_pushed_and_pulled_elsewhere(store, address: str, tmp_path: Path) -> None:
    def dvc(folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "dvc", *words, "-q"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    here, there = tmp_path / "here", tmp_path / "there"
    (here / "raw").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (here / "raw" / name).write_bytes(name.encode())
    dvc(here, "init", "--no-scm")
    dvc(here, "remote", "add", "-d", "store", f"s3://{BUCKET}/dvc")
    dvc(here, "remote", "modify", "store", "endpointurl", address)
    dvc(here, "add", "raw")
    dvc(here, "push")
    assert len(keys(store, "dvc/")) == 3  # two files and their list
    there.mkdir()
    for name in (".dvc/config", "raw.dvc"):
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_bytes((here / name).read_bytes())
    dvc(there, "pull")
    assert (there / "raw" / "b.png").read_bytes() == b"b.png"


@pytest.mark.long
def test_a_version_is_registered_promoted_and_served(
    store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow_server(tmp_path, artifacts=f"s3://{BUCKET}/mlflow") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.delenv(f"AWS_{name}")  # clients go through MLflow's server
        workspace = make_one_version(tmp_path / "repository")
        assert any(key.endswith("weights.safetensors") for key in keys(store, "mlflow/"))
        must_run(workspace.root, "promote")
        served = serve_version(workspace.root, None, 60).slot
        served.stop()
        (image, *_) = sorted(workspace.raw.rglob("*.png"))
        grey = decode_grey(image.read_bytes(), "i")
        found = served.served.predictor.predict([grey])[0]
        made = TorchPredictor.load(workspace.model).predict([grey])[0]
        assert (served.served.version, found.probs) == ("1", made.probs)
        np.testing.assert_array_equal(found.mask, made.mask)
    assert not (tmp_path / "files").exists()
