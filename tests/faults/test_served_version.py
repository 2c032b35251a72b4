"""Faults in what `hgmnet serve` answers with: another model, or other code, than was judged."""

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from hgmnet.config.params import load_params
from hgmnet.errors import HgmnetError
from hgmnet.models.spec import SPEC, WEIGHTS, identity
from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import LoadedModel, ModelSlot
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import verification
from pipelines.registry.loading import load_version
from pipelines.registry.serving import load_served, serve_version
from pipelines.registry.tracking_store import TrackingStore, open_tracking_store
from pipelines.registry.versions import find_version
from pipelines.stages import register
from tests.three_versions import NAME, give_three_versions
from tests.tiny_repository import judge, make_model, make_repository

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
EDIT = """
_as_it_was = to_grey

def to_grey(rgb):
    return _as_it_was(255 - rgb)
"""
"""An edit of hgmnet/data/images.py after which every image is its negative."""
Row = dict[str, Any]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return give_three_versions(tmp_path / "repository")


@pytest.fixture
def store(workspace: Workspace) -> TrackingStore:
    return open_tracking_store(workspace.root, "phantom", 5)


@pytest.fixture
def another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address; version 1 serves there, and is another model."""
    monkeypatch.setattr(verification, "verify", lambda *_: None)  # a process that takes seconds
    other = make_repository(tmp_path / "elsewhere")
    make_model(other, seed=7)
    judge(other, "passed")
    params = load_params(other.root / "params.yaml")
    register.run(other.root, params.data, params.registry)
    promote(open_comparer(other.root, None), Request("1"))
    return f"sqlite:///{other.root / 'mlflow.db'}"


def test_the_champion_of_another_store_is_served(
    workspace: Workspace, another_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", another_store)
    said = health_of(workspace)
    assert said["model_sha256"] == registered(workspace, "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert said["model_sha256"] != registered(workspace, "1")


def test_a_version_of_one_store_is_not_served_as_that_of_another(
    workspace: Workspace, another_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    health_of(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", another_store)
    assert health_of(workspace)["model_sha256"] == registered(workspace, "1")


def test_the_registered_weights_are_served(workspace: Workspace) -> None:
    said = health_of(workspace)
    assert (said["version"], said["fault"]) == ("1", "")
    assert said["model_sha256"] == registered(workspace, "1")


def test_weights_that_were_exchanged_in_the_store_are_noticed(workspace: Workspace) -> None:
    wanted = registered(workspace, "1")
    exchange_weights(workspace, wanted)
    try:
        said = health_of(workspace)
    except HgmnetError:
        return
    assert said["fault"] or said["model_sha256"] == wanted


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route to the registry"),
        RuntimeError("PytorchStreamReader failed reading zip archive"),
        Exception("An error occurred (SlowDown) when calling GetObject"),
    ],
)
def test_an_error_is_in_health_and_the_next_champion_is_followed(
    workspace: Workspace, store: TrackingStore, error: Exception
) -> None:
    first, second = (load_served(store, NAME, n, workspace.versions) for n in ("1", "2"))
    mended = threading.Event()

    def look() -> LoadedModel:
        if not mended.is_set():
            raise error
        return second

    holder = ModelSlot(first)
    server = Server(TestClient(build_app(holder)), {holder.watch(look, 0.02)})
    try:
        fault = server.health(lambda now: bool(now["fault"]))["fault"]
        mended.set()
        now = server.health(lambda now: now["version"] == "2")
    finally:
        holder.stop()
    assert (bool(fault), now["version"], now["fault"]) == (True, "2", "")


def test_a_rotten_copy_is_in_health_and_its_removal_mends_it(
    workspace: Workspace, store: TrackingStore
) -> None:
    copy = load_version(store, NAME, "2", workspace.versions).folder
    spec = bytearray((copy / SPEC).read_bytes())
    spec[200] = 0xFF
    (copy / SPEC).write_bytes(spec)
    with serving(workspace, seconds=0.1) as server:
        promote(open_comparer(workspace.root, None), Request("2"))
        now = server.health(lambda now: now["fault"] or now["version"] == "2")
        noticed = now["fault"] or now["version"] == "2"
        shutil.rmtree(copy, ignore_errors=True)
        now = server.health(lambda now: now["version"] == "2")
    assert (bool(noticed), now["version"]) == (True, "2")


def test_a_promotion_is_followed(workspace: Workspace) -> None:
    with serving(workspace, seconds=0.1) as server:
        promote(open_comparer(workspace.root, None), Request("2"))
        now = server.health(lambda now: now["version"] == "2")
    assert (now["version"], now["fault"]) == ("2", "")


def test_an_alias_that_no_decision_moved_is_not_followed_in_silence(
    workspace: Workspace, store: TrackingStore
) -> None:
    with serving(workspace, seconds=0.1) as server:
        store.client.set_model_version_tag(NAME, "2", "hgmnet.gate", "failed")
        store.client.set_registered_model_alias(NAME, "champion", "2")
        now = server.health(lambda now: now["version"] == "2" or now["fault"], most_s=5)
    assert now["version"] == "1" or now["fault"]


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("", id="as it was judged"),
        pytest.param(EDIT, id="edited"),
    ],
)
def test_a_version_answers_by_the_code_that_was_judged(workspace: Workspace, edit: str) -> None:
    image = min(workspace.raw.rglob("*.png")).read_bytes()
    with serving(workspace) as server:
        judged = server.client.post("/predict", content=image).json()
    for name in ("hgmnet", "pipelines"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, workspace.root / name, ignore=left_out)
    with (workspace.root / "hgmnet/data/images.py").open("a") as code:
        code.write(edit)
    health, row = asked_in_a_process(workspace.root, image)
    refused = bool(edit) and (not health or health["fault"])
    assert refused or row["prob_benign"] == pytest.approx(judged["prob_benign"], abs=1e-4)


@dataclass(frozen=True)
class Server:
    """What answers, and the threads that look for another champion."""

    client: TestClient
    watches: set[threading.Thread]

    def health(self, until: Callable[[Row], object], most_s: float = 20.0) -> Row:
        """What /health says once it is so, the time is up, or nobody looks any more."""
        deadline = time.monotonic() + most_s
        while True:
            alive = any(watch.is_alive() for watch in self.watches)
            now: Row = self.client.get("/health").json()
            if until(now) or not alive or time.monotonic() > deadline:
                return now
            time.sleep(0.02)


@contextmanager
def serving(workspace: Workspace, seconds: float = 3600.0) -> Iterator[Server]:
    """As `hgmnet serve` does it, but without a socket."""
    before = set(threading.enumerate())
    holder = serve_version(workspace.root, None, seconds).slot
    watches = set(threading.enumerate()) - before
    try:
        yield Server(TestClient(build_app(holder)), watches)
    finally:
        holder.stop()


def health_of(workspace: Workspace) -> Row:
    with serving(workspace) as server:
        return server.health(lambda _: True)


def registered(workspace: Workspace, number: str) -> str:
    """The hash of the model that a version was judged as, in the store that is named now."""
    store = open_tracking_store(workspace.root, "phantom", 5)
    return find_version(store, NAME, number).tags["hgmnet.model"]


def exchange_weights(workspace: Workspace, model: str) -> None:
    """Change them where the store keeps them, so that they still load."""
    kept = workspace.root / "mlartifacts"
    (folder,) = (p.parent for p in kept.rglob(WEIGHTS) if identity(p.parent) == model)
    weights = load_file(folder / WEIGHTS)
    first = max(weights, key=lambda name: weights[name].numel())
    save_file(weights | {first: 2 * weights[first]}, folder / WEIGHTS)


def asked_in_a_process(root: Path, image: bytes) -> tuple[Row, Row]:
    """What /health and /predict of `hgmnet serve` say; nothing where it refuses in a line."""
    words = [sys.executable, "-m", "pipelines", "serve", "--port", "0"]
    kept = {"cwd": root, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **kept) as server:
        found = (re.search(r"http://\S+?:\d+", line) for line in server.stdout)
        address = next(filter(None, found), None)
        if address is None:
            complaint = server.communicate(timeout=60)[1]
            if not complaint.startswith("hgmnet: "):
                raise RuntimeError(complaint)
            return {}, {}
        try:
            health = httpx.get(f"{address[0]}/health", timeout=60).json()
            row = httpx.post(f"{address[0]}/predict", content=image, timeout=60).json()
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=60)
    return health, row
