"""`hgmnet up`: real servers, deployments and a worker; schedules, cancelling, the end."""

import base64
import json
import os
import shutil
import signal
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

import pytest
from mlflow import MlflowClient

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from pipelines.operations.local_services import AUTH
from tests.processes import working_below
from tests.servers import free_port
from tests.shared import give_prefect_db
from tests.tiny_repository import make_talking_repository

pytestmark = [
    pytest.mark.usefixtures("real_python"),
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc"),
]
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Up:
    """`hgmnet up` in a repository of its own."""

    workspace: Workspace
    process: subprocess.Popen[str]
    api: str
    mlflow: str
    said: list[str]
    words: list[str]

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        known = (self.workspace.state / "prefect.env").read_text().split(f"{AUTH}=")[1].strip()
        basic = base64.b64encode(known.encode()).decode()
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
    give_prefect_db(workspace.state / "prefect")
    ports = free_port(), free_port()
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    process = launch(root, words)
    api, mlflow = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        said = [process.stdout.readline() for _ in range(4)]
        assert "Deployments of prefect.yaml are up" in said[2], said
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
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_is_up_and_what_is_deployed(up: Up) -> None:
    assert up.said[0].split() == ["Prefect", up.api.removesuffix("/api")]
    assert up.said[1].split() == ["MLflow", up.mlflow]
    assert str(up.workspace.state / "prefect.env") in up.said[3]
    nightly = up.deployment("training/nightly")
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
    assert up.deployment("promotion/by-hand")["tags"] == ["hgmnet", "promotion"]
    assert up.deployment("monitoring/weekly")["tags"] == ["hgmnet", "monitoring"]


def test_a_schedule_fires_and_the_model_serves_at_the_end(up: Up) -> None:
    found = up.deployment("training/nightly")["id"]
    soon = {"schedule": {"interval": 20}, "active": True}
    (made,) = up.ask(f"/deployments/{found}/schedules", [soon])
    run = scheduled(up, found)
    up.ask(f"/deployments/{found}/schedules/{made['id']}", method="DELETE")
    assert up.ends(run)[0] == "COMPLETED"
    wait_until(lambda: not under_way(up, found))  # a second one was due, and waited
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
    assert "Lesion Dice" in result["data"]
    assert f"{up.mlflow}/#/experiments/" in result["data"]


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


def under_way(up: Up, deployment: str) -> list[Any]:
    """Runs that have begun or are due within two minutes, and have not ended."""
    names = ["Scheduled", "Pending", "Running", "AwaitingConcurrencySlot", "Late"]
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    wanted = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"name": {"any_": names}}, "expected_start_time": {"before_": soon}},
    }
    return up.ask("/flow_runs/filter", wanted)


def test_a_second_run_waits_and_a_cancelled_one_leaves_nothing(up: Up) -> None:
    root = up.workspace.root
    dvc = root / "dvc.yaml"
    before, params = dvc.read_text(), (root / "params.yaml").read_text()
    dvc.write_text(before.replace("echo ingest >> ran", "echo asleep >> ran; sleep 600"))
    (root / "ran").unlink(missing_ok=True)
    try:
        first = up.start("training/nightly", profile="other")
        wait_until(lambda: (root / "ran").exists() and "asleep" in (root / "ran").read_text())
        assert (root / "params.yaml").read_text().endswith("# other\n")
        second = up.start("training/nightly")
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
        run = up.start("training/nightly", profile="other")
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
    assert any("Ctrl-C ends all of it" in line for line in iter(up.process.stdout.readline, ""))
    assert (root / "params.yaml").read_text() == params
    assert up.ends(up.start("training/nightly"), 300)[0] == "COMPLETED"
    assert up.state(run)[0] == "CRASHED"


def test_ctrl_c_ends_all_of_it(up: Up) -> None:
    assert len(working_below(up.workspace.root)) > 4
    up.process.send_signal(signal.SIGINT)
    output, _ = up.process.communicate(timeout=120)
    assert up.process.returncode == 130, output
    assert "Traceback" not in output
    wait_until(lambda: not working_below(up.workspace.root))
