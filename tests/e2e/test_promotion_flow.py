"""`hgmnet flow promotion` with a real Prefect server, real versions, and a person who answers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from mlflow import MlflowClient

from pipelines.artifacts.paths import Workspace
from tests.contenders import make_contenders
from tests.servers import prefect_server

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Version 1 serves; 2 is better, 3 as good as 2."""
    return make_contenders(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def start(root: Path, url: str, *words: str) -> subprocess.Popen[str]:
    kept = {key: os.environ[key] for key in os.environ if not key.startswith("PREFECT")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "flow", "promotion", *words],
        cwd=root,
        env=kept | {"PREFECT_API_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def promotion(root: Path, url: str, *words: str) -> tuple[int, str]:
    process = start(root, url, *words)
    output, _ = process.communicate(timeout=250)
    return process.returncode, output


def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = Request(f"{url}{path}", json.dumps(body).encode(), headers)  # noqa: S310 - our own
    last = time.monotonic() + 10
    while True:
        try:
            with urlopen(request) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as error:  # Prefect's clients ask again, too: its SQLite is locked
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > last:
                raise
            time.sleep(0.5)


def last_run(url: str) -> dict[str, Any]:
    return ask(url, "/flow_runs/filter", {"limit": 1, "sort": "START_TIME_DESC"})[0]


def paused_run(url: str) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = ask(url, "/flow_runs/filter", {"limit": 1, "sort": "START_TIME_DESC"})
        if runs and runs[0]["state"]["type"] == "PAUSED":
            return str(runs[0]["id"])
        time.sleep(0.5)
    pytest.fail("no run paused")


def champion(workspace: Workspace) -> str | None:
    client = MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
    held = client.get_registered_model("hgmnet-phantom").aliases.get("champion")
    return None if held is None else str(held)


def changes(url: str, awaited: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the awaited (champion before, champion after) that an event reports.

    Events arrive late, and the server has those of other tests too.
    """
    wanted = {"event": {"name": ["hgmnet.champion.changed"]}}
    deadline = time.monotonic() + 60
    while True:
        events = ask(url, "/events/filter", {"filter": wanted})["events"]
        payloads = [event["payload"] for event in events]
        found = {(payload["before"], payload["version"]) for payload in payloads}
        if found >= awaited or time.monotonic() > deadline:
            return found & awaited
        time.sleep(0.5)


def test_from_the_first_champion_to_a_persons_word(workspace: Workspace, url: str) -> None:
    status, output = promotion(workspace.root, url, "--version", "1")
    assert status == 0, output
    assert champion(workspace) == "1"
    assert last_run(url)["state"]["name"] == "Completed"

    status, output = promotion(workspace.root, url, "--version", "2")
    assert status == 0, output
    assert "better than champion 1" in output
    assert champion(workspace) == "2"
    took_over = {("", "1"), ("1", "2")}
    assert changes(url, took_over) == took_over

    status, output = promotion(workspace.root, url, "--approval-hours", "0")
    assert status == 3, output
    assert "version 3 does not serve" in output.splitlines()[-1]
    assert "not worse than champion 2; a person must decide" in output.splitlines()[-1]
    assert last_run(url)["state"]["name"] == "Rejected"

    status, output = promotion(workspace.root, url, "--approval-hours", "0.0006")
    assert status == 3, output
    assert "Nobody has decided" in output

    said = {"approve": False, "by": "A. Critic", "reason": "no gain"}
    assert answered(workspace, url, said)[0] == 3
    assert champion(workspace) == "2"

    said = {"approve": True, "by": "B. Signer", "reason": "as good, on a newer release"}
    status, output = answered(workspace, url, said)
    assert status == 0, output
    assert champion(workspace) == "3"
    told = history(workspace)
    assert "A. Critic did not approve: no gain" in told
    assert "as good, on a newer release" in told
    assert "approved by B. Signer" in told
    assert "every link holds" in told


def answered(workspace: Workspace, url: str, said: dict[str, Any]) -> tuple[int, str]:
    """Let version 3 be compared, and give this answer in the form."""
    process = start(workspace.root, url, "--version", "3")
    run = paused_run(url)
    refused = ask(url, f"/flow_runs/{run}/resume", {"run_input": {"approve": True, "by": "x"}})
    assert refused["status"] == "REJECT"  # the form wants a name and a reason
    assert ask(url, f"/flow_runs/{run}/resume", {"run_input": said})["status"] == "ACCEPT"
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def history(workspace: Workspace) -> str:
    command = [sys.executable, "-m", "pipelines", "history"]
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        command, cwd=workspace.root, env=kept, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_another_change_plan_than_the_version_was_held_to_is_refused(
    workspace: Workspace, url: str
) -> None:
    before = workspace.change_plan.read_bytes()
    workspace.change_plan.write_bytes(before + b"# widened\n")
    try:
        status, output = promotion(workspace.root, url, "--version", "1")
    finally:
        workspace.change_plan.write_bytes(before)
    assert status == 2, output
    assert "version 1 was compared with another change plan than pccp.yaml" in output
    assert last_run(url)["state"]["name"] == "Configuration"
