"""Faults in what a web page elsewhere may ask of `hgmnet up`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.operations.local_services import Services
from tests.servers import free_port
from tests.shared import give_prefect_db
from tests.tiny_repository import make_talking_repository

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]
PAGE = {"Origin": "https://evil.example"}
"""Of a page of another host, whose requests the browser asks leave for."""
LED_HERE = {"Origin": "http://evil.example", "Host": "evil.example"}
"""Of a page whose host's name was made to lead here, whose requests the browser lets through."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prefect's, as `hgmnet up` starts it."""
    root = tmp_path_factory.mktemp("up")
    give_prefect_db(root / ".hgmnet" / "prefect")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PREFECT")]:
            patch.delenv(name)
        with Services(root) as services:
            services.start_prefect(port)
            yield f"http://127.0.0.1:{port}/api"


def test_it_answers(api: str) -> None:
    assert httpx.get(f"{api}/health", timeout=60).status_code == 200


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Prefect's API lets pages of any host send requests",
)
def test_a_page_of_another_host_gets_no_leave(api: str) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    said = httpx.options(f"{api}/deployments/filter", headers=PAGE | asked, timeout=60)
    assert said.headers.get("access-control-allow-origin") not in {"*", PAGE["Origin"]}


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Prefect's API answers whatever host a request is for",
)
def test_a_request_for_another_host_is_refused(api: str) -> None:
    flow = {"name": "of-a-page"}
    assert httpx.post(f"{api}/flows/", json=flow, headers=LED_HERE, timeout=60).is_error


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="a page of another host has the worker run a command of its own",
)
def test_no_page_has_a_command_run(whole: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    found = httpx.post(f"{whole}/deployments/filter", json={}, headers=LED_HERE, timeout=60)
    if found.is_error:
        return
    hourly = next(one["id"] for one in found.json() if one["name"] == "hourly")
    command = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": f"touch {mark}"}}
    address = f"{whole}/deployments/{hourly}/create_flow_run"
    made = httpx.post(address, json=command, headers=LED_HERE, timeout=60)
    deadline = time.monotonic() + 60
    while not mark.exists() and not made.is_error and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not mark.exists()


@pytest.fixture
def whole(tmp_path: Path, real_python: None) -> Iterator[str]:
    """The API of a whole `hgmnet up`, its worker among it."""
    root = make_talking_repository(tmp_path / "repository").root
    for name in ("pipelines", "hgmnet"):
        (root / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "prefect.yaml", root)
    ports = free_port(), free_port()
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines", *words],
        cwd=root,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = [process.stdout.readline() for _ in range(3)]
        try:
            if "are up" not in said[2]:
                raise RuntimeError("".join(said))
            yield f"http://127.0.0.1:{ports[0]}/api"
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
