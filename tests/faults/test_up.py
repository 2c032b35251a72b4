"""`hgmnet up` obeys nobody but its user: no web page, no other user of the machine."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipelines.operations.local_services import AUTH, Services, prefect_access
from pipelines.system.processes import alive
from tests.devtools import CHROMIUM, browser
from tests.servers import free_port
from tests.shared import give_mlflow_db, give_prefect_db
from tests.tiny_repository import make_talking_repository

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]
PAGE = {"Origin": "https://evil.example"}
"""Of a page of another host, whose requests the browser asks leave for."""
LED_HERE = {"Origin": "http://evil.example", "Host": "evil.example"}
"""Of a page whose host's name was made to lead here, whose requests the browser lets through."""
FLOW = {"name": "of-a-page"}


@dataclass(frozen=True)
class Running:
    """`hgmnet up` without a worker; `password`: of Prefect's server, with its user's name."""

    root: Path
    prefect: str
    mlflow: str
    password: tuple[str, str]

    @property
    def api(self) -> str:
        return f"{self.prefect}/api"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("up")
    give_prefect_db(root / ".hgmnet" / "prefect")
    give_mlflow_db(root)
    ports = free_port(), free_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PREFECT", "MLFLOW"))]:
            patch.delenv(name)
        with Services(root) as services:
            services.start_prefect(ports[0])
            services.start_mlflow(ports[1])
            known = (root / ".hgmnet" / "prefect.env").read_text().split()
            user, _, word = known[-1].removeprefix(f"{AUTH}=").partition(":")
            yield Running(root, *(f"http://127.0.0.1:{port}" for port in ports), (user, word))
    assert not (root / ".hgmnet" / "prefect.env").exists()


@pytest.fixture(scope="module")
def api(running: Running) -> str:
    """Prefect's, as `hgmnet up` starts it."""
    return running.api


def test_it_answers(api: str) -> None:
    assert httpx.get(f"{api}/health", timeout=60).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"],
)
def test_a_page_of_another_host_gets_no_leave(api: str, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    said = httpx.options(f"{api}/deployments/filter", headers=asked, timeout=60)
    assert said.headers.get("access-control-allow-origin") not in {"*", origin}


def test_a_request_for_another_host_is_refused(running: Running) -> None:
    sent = {"json": FLOW, "headers": LED_HERE, "auth": running.password, "timeout": 60}
    assert httpx.post(f"{running.api}/flows/", **sent).status_code == 400


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_nothing_is_done_without_the_password(api: str, kind: str) -> None:
    """Also what a page may send without asking the browser's leave."""
    headers = {"Content-Type": kind} if kind else {}
    body = b'{"name": "of-a-page"}'
    for auth in (None, ("hgmnet", ""), ("hgmnet", "guessed")):
        done = httpx.post(f"{api}/flows/", content=body, headers=headers, auth=auth, timeout=60)
        assert done.status_code == 401


@pytest.mark.parametrize("path", ["events/out", "logs/out", "events/in"])
def test_no_socket_opens_without_the_password(api: str, path: str) -> None:
    address = api.replace("http://", "ws://")
    with connect(f"{address}/{path}", subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
        socket.send('{"type": "auth", "token": "guessed"}')
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=60)


def test_its_own_page_signs_in_with_the_password(running: Running) -> None:
    page = httpx.get(running.prefect, timeout=60, follow_redirects=True)
    assert "<title>Prefect" in page.text
    assert httpx.get(f"{running.prefect}/ui-settings", timeout=60).json()["auth"] == "BASIC"
    for host in ("127.0.0.1", "localhost"):
        own = running.prefect.replace("127.0.0.1", host)
        headers = {"Origin": own, "Host": own.removeprefix("http://")}
        sent = {"headers": headers, "auth": running.password, "timeout": 60}
        done = httpx.get(f"{running.api}/admin/version", **sent)
        assert done.status_code == 200
        assert done.headers["access-control-allow-origin"] == own


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_person_signs_in_with_the_password(running: Running, tmp_path: Path) -> None:
    form = "document.querySelector('input[type=password]')"
    with browser(tmp_path / "profile") as tab:
        tab.open(f"{running.prefect}/flows")
        tab.wait(f"{form} !== null")
        tab.ask(f"{form}.focus()")
        tab.call("Input.insertText", text=":".join(running.password))
        tab.ask(f"{form}.form.querySelector('button[type=submit]').click()")
        tab.wait(f"{form} === null && /flows/.test(location.pathname)")
        tab.wait("/Flows/.test(document.body.innerText)")
        assert tab.ask("localStorage.getItem('prefect-password') !== null")


def test_the_password_is_its_owners_alone(running: Running) -> None:
    file = running.root / ".hgmnet" / "prefect.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
    assert any(b"local_app" in line for line in lines)
    assert not any(running.password[1].encode() in line for line in lines)
    logs = [path.read_text() for path in running.root.rglob("*.log")]
    assert not any(running.password[1] in log for log in logs)


def readable(path: Path) -> bool:
    """Whether the process of this file in /proc is still there."""
    return alive(int(path.parent.name)) and path.exists()


def test_each_up_has_a_password_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / ".hgmnet" / "prefect.env"
    found = set()
    for _ in range(2):
        file.parent.mkdir(exist_ok=True)
        file.write_text("left by one that was killed")  # readable by others
        with prefect_access(tmp_path, 4200) as access:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            found.add(access[AUTH])
    assert len(found) == 2


@pytest.mark.parametrize("host", ["evil.example", "10.evil.example", "192.168.evil.example:80"])
def test_mlflow_knows_its_own_name(running: Running, host: str) -> None:
    """By its own defaults it answers to any name that begins like a private address."""
    address = f"{running.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(address, timeout=60).status_code == 200
    assert httpx.get(address, headers={"Host": host}, timeout=60).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_mlflow_does_nothing_for_a_page_of_another_host(running: Running, origin: str) -> None:
    address = f"{running.mlflow}/api/2.0/mlflow/experiments/create"
    headers = {"Origin": origin}
    assert httpx.post(address, json=FLOW, headers=headers, timeout=60).status_code == 403


@pytest.mark.soak
@pytest.mark.timeout(600)
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
