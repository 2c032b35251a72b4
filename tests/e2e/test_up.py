"""`hgmnet up`: real servers, deployments and a worker; schedules, cancelling, the end.

It obeys nobody but its user: no web page, no other user of the machine.
"""

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import pytest
from mlflow import MlflowClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from pipelines.operations.local_services import AUTH
from pipelines.system.processes import alive
from tests.devtools import CHROMIUM, browser
from tests.processes import working_below
from tests.servers import free_port
from tests.shared import give_prefect_db
from tests.tiny_repository import make_talking_repository

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc"),
]
REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = "https://evil.example"
"""A page of another host, whose requests the browser asks leave for."""
LED_HERE = {"Origin": "http://evil.example", "Host": "evil.example"}
"""Of a page whose host's name was made to lead here, whose requests the browser lets through."""
FLOW = {"name": "of-a-page"}
OFTEN = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
    "PREFECT_WORKER_QUERY_SECONDS": "3",
}
"""How often Prefect looks for what is due; by itself it does so every 10 to 60 s."""


@dataclass
class Up:
    """`hgmnet up` in a repository of its own."""

    workspace: Workspace
    process: subprocess.Popen[str]
    api: str
    mlflow: str
    said: list[str]
    words: list[str]

    @property
    def prefect(self) -> str:
        return self.api.removesuffix("/api")

    @property
    def password(self) -> tuple[str, str]:
        """Of Prefect's server, with its user's name."""
        known = (self.workspace.state / "prefect.env").read_text().split(f"{AUTH}=")[1]
        user, _, word = known.split()[0].partition(":")
        return user, word

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        basic = base64.b64encode(":".join(self.password).encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
        data = json.dumps(body or {}).encode() if method != "GET" else None
        request = Request(f"{self.api}{path}", data, headers, method=method)  # noqa: S310
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(request, timeout=60) as answer:  # noqa: S310
                    text = answer.read()
                return json.loads(text) if text else None
            except HTTPError as error:  # its SQLite is locked; Prefect's own clients ask again, too
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def deployment(self, name: str) -> dict[str, Any]:
        return self.ask(f"/deployments/name/{name}", method="GET")

    def start(self, name: str, **parameters: Any) -> str:
        """A flow run of a deployment; its id."""
        found = self.deployment(name)["id"]
        made = self.ask(f"/deployments/{found}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def state(self, run: str) -> tuple[str, str]:
        state = self.ask(f"/flow_runs/{run}", method="GET")["state"]
        return state["type"], state["name"]

    def ends(self, run: str, seconds: float = 240) -> tuple[str, str]:
        """The state it ends in."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.state(run)
            if state[0] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
                return state
            time.sleep(0.5)
        pytest.fail(f"run {run} is still {self.state(run)}")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A repository up to `register`, whose stages only write their names down."""
    workspace = make_talking_repository(tmp_path_factory.mktemp("up") / "repository")
    root = workspace.root
    for name in ("pipelines", "hgmnet"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "profiles").mkdir()
    (root / "profiles" / "other.yaml").write_text((root / "params.yaml").read_text() + "# other\n")
    shutil.copy(REPOSITORY / "prefect.yaml", root)
    shutil.copy(REPOSITORY / "automations.yaml", root)
    give_prefect_db(workspace.state / "prefect")
    ports = free_port(), free_port()
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    process = launch(root, words)
    api, mlflow = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        said = until_up(process)
        made = Up(workspace, process, f"{api}/api", mlflow, said, words)
        yield made
        process = made.process
    finally:
        process.kill()
        process.communicate()


def launch(root: Path, words: list[str]) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *words],
        cwd=root,
        env=kept | OFTEN,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_up(process: subprocess.Popen[str]) -> list[str]:
    """What it prints until it is up, with the line on how to sign in."""
    said = []
    for line in iter(process.stdout.readline, ""):
        said.append(line)
        if "Ctrl-C ends all of it" in line:
            return [*said, process.stdout.readline()]
    pytest.fail("".join(said))


def test_what_is_up_and_what_is_deployed(up: Up) -> None:
    said = [line.split() for line in up.said]
    assert ["Prefect", up.prefect] in said
    assert ["MLflow", up.mlflow] in said
    logs = [f"{up.workspace.state}/up/{name}.log" for name in ("prefect", "mlflow")]
    assert [words[-1] for words in said if words[0] == "Waiting"] == logs
    (deployed,) = (line for line in up.said if line.startswith("Deployed: "))
    assert deployed.count("/") == 6
    assert str(up.workspace.state / "prefect.env") in up.said[-1]
    nightly = up.deployment("training/train-and-promote")
    assert nightly["schedules"][0]["schedule"] == {
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "day_or": True,
    }
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert nightly["parameters"] == {"root": str(up.workspace.root), "promote": True}
    described = nightly["parameter_openapi_schema"]["properties"]["overrides"]["description"]
    assert "for this run alone" in described
    form = nightly["parameter_openapi_schema"]["properties"]
    assert form["profile"]["anyOf"][0]["enum"] == ["other"]
    assert form["force_stage"]["anyOf"][0]["enum"] == list(STAGES)[1:-1]
    assert up.deployment("promotion/promote-challenger")["tags"] == ["hgmnet", "promotion"]
    assert up.deployment("monitoring/check-for-drift")["tags"] == ["hgmnet", "monitoring"]


def test_it_obeys_no_page_of_another_host(up: Up) -> None:
    assert httpx.get(f"{up.api}/health", timeout=60).status_code == 200
    for origin in (PAGE, "null", "http://127.0.0.1:1", "http://localhost.evil.example"):
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        said = httpx.options(f"{up.api}/deployments/filter", headers=asked, timeout=60)
        assert said.headers.get("access-control-allow-origin") not in {"*", origin}, origin
    sent = {"json": FLOW, "headers": LED_HERE, "auth": up.password, "timeout": 60}
    assert httpx.post(f"{up.api}/flows/", **sent).status_code == 400


def test_nothing_is_done_without_the_password(up: Up) -> None:
    """Also what a page may send without asking the browser's leave."""
    for kind in ("application/json", "text/plain", ""):
        headers = {"Content-Type": kind} if kind else {}
        for auth in (None, ("hgmnet", ""), ("hgmnet", "guessed")):
            sent = {"content": b'{"name": "of-a-page"}', "headers": headers, "auth": auth}
            assert httpx.post(f"{up.api}/flows/", **sent, timeout=60).status_code == 401, sent


@pytest.mark.parametrize("path", ["events/out", "logs/out", "events/in"])
def test_no_socket_opens_without_the_password(up: Up, path: str) -> None:
    address = up.api.replace("http://", "ws://")
    with connect(f"{address}/{path}", subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
        socket.send('{"type": "auth", "token": "guessed"}')
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=60)


def test_its_own_page_signs_in_with_the_password(up: Up) -> None:
    page = httpx.get(up.prefect, timeout=60, follow_redirects=True)
    assert "<title>Prefect" in page.text
    assert httpx.get(f"{up.prefect}/ui-settings", timeout=60).json()["auth"] == "BASIC"
    for host in ("127.0.0.1", "localhost"):
        own = up.prefect.replace("127.0.0.1", host)
        headers = {"Origin": own, "Host": own.removeprefix("http://")}
        sent = {"headers": headers, "auth": up.password, "timeout": 60}
        done = httpx.get(f"{up.api}/admin/version", **sent)
        assert done.status_code == 200
        assert done.headers["access-control-allow-origin"] == own


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_person_signs_in_with_the_password(up: Up, tmp_path: Path) -> None:
    form = "document.querySelector('input[type=password]')"
    with browser(tmp_path / "profile") as tab:
        tab.open(f"{up.prefect}/flows")
        tab.wait(f"{form} !== null")
        tab.ask(f"{form}.focus()")
        tab.call("Input.insertText", text=":".join(up.password))
        tab.ask(f"{form}.form.querySelector('button[type=submit]').click()")
        tab.wait(f"{form} === null && /flows/.test(location.pathname)")
        tab.wait("/Flows/.test(document.body.innerText)")
        assert tab.ask("localStorage.getItem('prefect-password') !== null")


def test_the_password_is_its_owners_alone(up: Up) -> None:
    file = up.workspace.root / ".hgmnet" / "prefect.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
    assert any(b"local_app" in line for line in lines)
    assert not any(up.password[1].encode() in line for line in lines)
    logs = [path.read_text() for path in up.workspace.root.rglob("*.log")]
    assert not any(up.password[1] in log for log in logs)


def readable(path: Path) -> bool:
    """Whether the process of this file in /proc is still there."""
    return alive(int(path.parent.name)) and path.exists()


def test_mlflow_does_nothing_for_another_host(up: Up) -> None:
    """By its own defaults it answers to any name that begins like a private address."""
    search = f"{up.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(search, timeout=60).status_code == 200
    for host in ("evil.example", "10.evil.example", "192.168.evil.example:80"):
        assert httpx.get(search, headers={"Host": host}, timeout=60).status_code == 403, host
    create = f"{up.mlflow}/api/2.0/mlflow/experiments/create"
    for origin in (PAGE, "null"):
        done = httpx.post(create, json=FLOW, headers={"Origin": origin}, timeout=60)
        assert done.status_code == 403, origin


@pytest.mark.soak
def test_no_page_has_a_command_run(up: Up, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    found = httpx.post(f"{up.api}/deployments/filter", json={}, headers=LED_HERE, timeout=60)
    if found.is_error:
        return
    name = "import-if-changed"
    hourly = next(one["id"] for one in found.json() if one["name"] == name)
    command = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": f"touch {mark}"}}
    address = f"{up.api}/deployments/{hourly}/create_flow_run"
    made = httpx.post(address, json=command, headers=LED_HERE, timeout=60)
    deadline = time.monotonic() + 60
    while not mark.exists() and not made.is_error and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not mark.exists()


def test_a_schedule_fires_and_the_model_serves_at_the_end(up: Up) -> None:
    found = up.deployment("training/train-and-promote")["id"]
    before = datetime.now(UTC) - timedelta(seconds=45)  # so in 15 s, and not again while it runs
    soon = {"schedule": {"interval": 60, "anchor_date": before.isoformat()}, "active": True}
    (made,) = up.ask(f"/deployments/{found}/schedules", [soon])
    run = scheduled(up, found)
    up.ask(f"/deployments/{found}/schedules/{made['id']}", method="DELETE")
    assert up.ends(run)[0] == "COMPLETED"
    ran = (up.workspace.root / "ran").read_text().split()
    assert ran[: len(STAGES) - 1] == list(STAGES)[:-1]
    aliases = MlflowClient(up.mlflow).get_registered_model("hgmnet-phantom").aliases
    assert aliases.keys() == {"champion"}
    name = up.ask(f"/flow_runs/{run}", method="GET")["name"]
    assert name == "phantom, params.yaml"
    artifacts = up.ask("/artifacts/filter", {})
    result = next(a for a in artifacts if a["key"] == "result-phantom")
    (epoch,) = {(a["data"], a["description"]) for a in artifacts if a["type"] == "progress"}
    assert epoch == (50, "epoch 1 of 2: loss 1.5")
    assert "| Lesion Dice | 0.750 |" in result["data"]
    assert f"<{up.mlflow}/#/experiments/" in result["data"]


def scheduled(up: Up, deployment: str) -> str:
    """The first run that a schedule has begun."""
    wanted = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["RUNNING", "COMPLETED"]}}},
    }
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if runs := up.ask("/flow_runs/filter", wanted):
            return str(runs[0]["id"])
        time.sleep(0.5)
    runs = up.ask("/flow_runs/filter", {})
    log = (up.workspace.state / "up" / "worker.log").read_text()
    pytest.fail(
        f"none has begun: {[(r['state']['name'], r['state']['message']) for r in runs]}\n{log}"
    )


def test_a_second_run_waits_and_a_cancelled_one_leaves_nothing(up: Up) -> None:
    root = up.workspace.root
    dvc = root / "dvc.yaml"
    before, params = dvc.read_text(), (root / "params.yaml").read_text()
    dvc.write_text(before.replace("echo ingest >> ran", "echo asleep >> ran; sleep 600"))
    (root / "ran").unlink(missing_ok=True)
    try:
        first = up.start("training/train-and-promote", profile="other")
        wait_until(lambda: (root / "ran").exists() and "asleep" in (root / "ran").read_text())
        assert (root / "params.yaml").read_text().endswith("# other\n")
        second = up.start("training/train-and-promote")
        wait_until(lambda: up.state(second)[1] == "AwaitingConcurrencySlot")
        assert sleeping(root)
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        up.ask(f"/flow_runs/{first}/set_state", state)
        assert up.ends(first)[0] == "CANCELLED"
        wait_until(lambda: not sleeping(root))
        assert (root / "params.yaml").read_text() == params
    finally:
        dvc.write_text(before)
    assert up.ends(second)[0] == "COMPLETED"


def sleeping(root: Path) -> list[int]:
    return [pid for pid in working_below(root) if b"sleep\x00600" in cmdline(pid)]


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(true: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_second_one_and_a_taken_port_are_refused_in_a_line(up: Up, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pipelines", "up", "--prefect-port", up.api.split(":")[2][:-4]]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    where = {"capture_output": True, "text": True, "env": kept}
    here = subprocess.run(words, check=False, cwd=up.workspace.root, **where)
    assert here.returncode == 1
    assert "runs here already; stop it first" in here.stderr
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(up.workspace.root / name, tmp_path)
    there = subprocess.run(words, check=False, cwd=tmp_path, **where)
    assert there.returncode == 2
    assert "Address already in use; take another: --prefect-port N" in there.stderr


@pytest.mark.soak
def test_a_killed_worker_ends_up_whole_and_the_next_up_goes_on(up: Up) -> None:
    """Amid a run: nothing is left of it, params.yaml is back, and the next run is good."""
    root, dvc = up.workspace.root, up.workspace.root / "dvc.yaml"
    before, params = dvc.read_text(), (root / "params.yaml").read_text()
    dvc.write_text(before.replace("echo ingest >> ran", "echo asleep >> ran; sleep 600"))
    (root / "ran").unlink(missing_ok=True)
    try:
        run = up.start("training/train-and-promote", profile="other")
        wait_until(lambda: (root / "ran").exists() and "asleep" in (root / "ran").read_text())
        lines = {pid: cmdline(pid) for pid in working_below(root)}
        (worker,) = [
            pid
            for pid, line in lines.items()
            if b"-m\x00prefect\x00worker" in line and b"processes.py" not in line
        ]
        os.kill(worker, signal.SIGKILL)
        said, _ = up.process.communicate(timeout=120)
        assert up.process.returncode == 1
        assert "worker ended" in said
        wait_until(lambda: not working_below(root))
    finally:
        dvc.write_text(before)
    up.process = launch(root, up.words)
    until_up(up.process)
    assert (root / "params.yaml").read_text() == params
    assert up.ends(up.start("training/train-and-promote"), 300)[0] == "COMPLETED"
    assert up.state(run)[0] == "CRASHED"


def test_a_flow_of_a_terminal_uses_its_server(up: Up) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    command = [sys.executable, "-m", "pipelines", "flow", "training", "--profile", "absent"]
    where = {"cwd": up.workspace.root, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, env=kept, **where)
    assert done.returncode == 2, done.stderr
    assert f"Prefect server: {up.prefect}" in done.stdout
    failed = {"state": {"type": {"any_": ["FAILED"]}}}
    wanted = {"flow_runs": failed, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = up.ask("/flow_runs/filter", wanted)
    assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "Configuration")
    assert run["name"] == "unknown data, absent"


def test_what_a_person_changes_on_its_pages_stays(up: Up) -> None:
    """A pause, a schedule and a parameter survive a restart; a new entry is deployed."""
    paused, changed = "promotion/promote-challenger", "monitoring/check-for-drift"
    up.ask(f"/deployments/{up.deployment(paused)['id']}/pause_deployment")
    found = up.deployment(changed)
    (time_,) = found["schedules"]
    path = f"/deployments/{found['id']}"
    cron = {"schedule": {"cron": "0 7 * * 2", "timezone": "UTC"}, "active": True}
    up.ask(f"{path}/schedules/{time_['id']}", cron, "PATCH")
    up.ask(path, {"parameters": found["parameters"] | {"version": "1"}}, "PATCH")
    named = {"automations": {"name": {"any_": ["hgmnet-training-has-not-ended"]}}}
    (automation,) = up.ask("/automations/filter", named)
    up.ask(f"/automations/{automation['id']}", {"enabled": False}, "PATCH")
    up.process.send_signal(signal.SIGINT)
    up.process.communicate(timeout=120)
    file = up.workspace.root / "prefect.yaml"
    file.write_text(file.read_text().replace("kind: crossval, folds: 5", "kind: curve, folds: 3"))

    up.process = launch(up.workspace.root, up.words)
    said = "".join(until_up(up.process))
    assert f"{paused} is not as in prefect.yaml, and stays so: paused\n" in said
    times = "schedules: 0 7 * * 2 UTC (there: 0 6 * * 1 UTC, off)"
    assert f"{changed} is not as in prefect.yaml, and stays so: {times}; version: 1 (th" in said
    assert "Deployed: " not in said
    assert "the flow has changed: study/run-study\n" in said
    assert up.deployment(paused)["paused"]
    (kept,) = up.deployment(changed)["schedules"]
    assert (kept["schedule"]["cron"], kept["active"]) == ("0 7 * * 2", True)
    assert up.deployment(changed)["parameters"]["version"] == "1"
    assert up.deployment("study/run-study")["parameters"]["kind"] == "curve"
    (automation,) = up.ask("/automations/filter", named)
    assert not automation["enabled"]


def test_ctrl_c_ends_all_of_it(up: Up) -> None:
    assert len(working_below(up.workspace.root)) > 4
    up.process.send_signal(signal.SIGINT)
    output, _ = up.process.communicate(timeout=120)
    assert up.process.returncode == 130, output
    assert "Traceback" not in output
    wait_until(lambda: not working_below(up.workspace.root))
    assert not (up.workspace.state / "prefect.env").exists()
