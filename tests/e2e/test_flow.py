"""`hgmnet flow training` with real DVC, Prefect and MLflow; the stages themselves only talk."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from ruamel.yaml import YAML

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from tests.processes import working_below
from tests.servers import mlflow_server, prefect_server
from tests.shared import give_prefect_db
from tests.tiny_repository import judge, make_talking_repository
from tests.webhook import webhook

needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository up to `register`, its gate passed; each stage only writes its name down."""
    return make_talking_repository(tmp_path_factory.mktemp("flow") / "repository")


@pytest.fixture
def workspace(made: Workspace) -> Iterator[Workspace]:
    """It again, as it was: what a test writes over is put back."""
    root = made.root
    files = [root / "dvc.yaml", root / "params.yaml", made.gate, made.metrics]
    before = {file: file.read_bytes() for file in files}
    yield made
    for file, content in before.items():
        file.write_bytes(content)
    (root / "ran").unlink(missing_ok=True)
    assert gone_within(30, root)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server that is there already."""
    with prefect_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def start(root: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "flow", "training", *words],
        cwd=root,
        env={key: os.environ[key] for key in os.environ if not key.startswith("PREFECT")} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(root: Path, *words: str, **env: str) -> tuple[int, str]:
    """The exit status and all that was printed."""
    process = start(root, *words, **env)
    output, _ = process.communicate(timeout=250)
    return process.returncode, output


def last_run(url: str) -> tuple[str, str]:
    """The latest flow run's type and name of state."""
    body = json.dumps({"limit": 1, "sort": "START_TIME_DESC"}).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{url}/flow_runs/filter", body, headers)  # noqa: S310 - our own server
    with urlopen(request) as answer:  # noqa: S310
        state = json.load(answer)[0]["state"]
    return state["type"], state["name"]


def replace(workspace: Workspace, stage: str, command: str) -> None:
    file = workspace.root / "dvc.yaml"
    file.write_text(file.read_text().replace(f"echo {stage} >> ran", command))


def gone_within(seconds: float, folder: Path) -> bool:
    deadline = time.monotonic() + seconds
    while working_below(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not working_below(folder)


def test_every_stage_runs_in_order_and_the_model_is_registered(
    workspace: Workspace, url: str
) -> None:
    status, output = run(workspace.root, PREFECT_API_URL=url)
    assert status == 0, output
    assert (workspace.root / "ran").read_text().split() == list(STAGES)[:-1]
    client = MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
    assert client.get_registered_model("hgmnet-phantom").aliases.keys() == {"challenger"}
    assert last_run(url) == ("COMPLETED", "Completed")
    assert "Task run 'train' - > echo train >> ran" in output
    assert clean(workspace.root, url, "1").startswith("Prefect: 0 runs ")
    ended = clean(workspace.root, url, "0")  # with those of other files of tests
    assert not ended.startswith("Prefect: 0 runs ")
    assert clean(workspace.root, url, "0", "--yes") == ended.replace(WOULD, "removed")
    assert clean(workspace.root, url, "0").startswith("Prefect: 0 runs ")


WOULD = "would be removed by --yes"


def clean(root: Path, url: str, *words: str) -> str:
    """The line about Prefect's flow runs that ended more than so many days ago."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "clean", "--older-than", *words],
        cwd=root, env=os.environ | {"PREFECT_API_URL": url}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return next(line for line in done.stdout.splitlines() if line.startswith("Prefect"))


@pytest.mark.long
def test_a_new_challenger_is_decided_about_once(workspace: Workspace, url: str) -> None:
    """`--promote`: none serves, so the one that passed does; the next run has nothing to ask."""
    for status, output in (run(workspace.root, "--promote", PREFECT_API_URL=url) for _ in range(2)):
        assert status == 0, output
    client = MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
    assert client.get_registered_model("hgmnet-phantom").aliases.keys() == {"champion"}
    decided = client.search_runs(
        [client.get_experiment_by_name("hgmnet-phantom-promotions").experiment_id],
        "tags.`hgmnet.kind` = 'promotion'",
    )
    assert len(decided) == 1


@pytest.mark.long
def test_a_rejection_is_a_result_with_a_name_of_its_own(workspace: Workspace, url: str) -> None:
    judge(workspace, "failed")
    status, output = run(workspace.root, PREFECT_API_URL=url)
    assert status == 3
    assert "Rejected, not an error: lesion Dice" in output.splitlines()[-1]
    assert last_run(url) == ("FAILED", "Rejected")
    assert "AwaitingRetry" not in output


def test_invalid_data_ends_the_flow_where_it_is_found(workspace: Workspace, url: str) -> None:
    replace(workspace, "validate", 'echo "hgmnet: InvalidData: a mask is grey"; exit 4')
    status, output = run(workspace.root, PREFECT_API_URL=url)
    assert status == 4
    assert output.splitlines()[-1] == "hgmnet: InvalidData: a mask is grey"
    assert (workspace.root / "ran").read_text().split() == ["phantom", "ingest"]
    assert last_run(url) == ("FAILED", "Invalid data")


def test_a_data_set_that_is_not_here_says_import(workspace: Workspace, url: str) -> None:
    file = workspace.root / "params.yaml"
    file.write_text(file.read_text().replace("name: phantom", "name: elsewhere", 1))
    status, output = run(workspace.root, PREFECT_API_URL=url)
    assert status == 2
    assert "hgmnet import elsewhere <folder or zip>" in output.splitlines()[-1]
    assert last_run(url) == ("FAILED", "Configuration")


def test_a_second_flow_with_a_server_of_its_own_is_refused(workspace: Workspace) -> None:
    home = workspace.state / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "server.lock"):
        status, output = run(workspace.root)
    assert status == 1
    assert output.startswith("hgmnet: Failed: a flow has its server in")


@pytest.mark.long
def test_people_are_notified_of_what_may_need_them(
    workspace: Workspace, url: str, tmp_path: Path
) -> None:
    """Through Prefect's own block, whose secret stays in it; a block that fails ends nothing."""
    with webhook() as (address, heard):
        save_block(url, address, tmp_path / "save.py")
        change_params(workspace, flow={"notify": ["custom-webhook/ops", "custom-webhook/nowhere"]})
        judge(workspace, "failed")
        status, output = run(workspace.root, PREFECT_API_URL=url)
        assert status == 3
        judge(workspace, "passed")
        assert run(workspace.root, PREFECT_API_URL=url)[0] == 0
    (message,) = heard  # and nothing of the run that just ended well
    assert message["text"] == "hgmnet training: Rejected"
    assert message["path"] == "/hook/planted-secret"
    assert "Rejected, not an error: lesion Dice" in message["more"]
    assert f"{url.removesuffix('/api')}/runs/flow-run/" in message["more"]
    assert "Not sent through custom-webhook/nowhere: ValueError" in output
    assert not holding(workspace.root, b"planted-secret")


def save_block(url: str, address: str, script: Path) -> None:
    script.write_text(
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block;"
        f"Block(name='ops', url='{address}/hook/{{{{token}}}}',"
        "secrets={'token': 'planted-secret'},"
        "json_data={'text': '{{subject}}', 'more': '{{body}}'}).save('ops', overwrite=True)"
    )
    env = os.environ | {"PREFECT_API_URL": url}
    subprocess.run([sys.executable, script], env=env, check=True, capture_output=True)


def change_params(workspace: Workspace, **sections: dict[str, object]) -> None:
    yaml, file = YAML(), workspace.root / "params.yaml"
    params = yaml.load(file.read_text())
    for section, values in sections.items():
        params[section] |= values
    with file.open("w") as out:
        yaml.dump(params, out)


def holding(root: Path, secret: bytes) -> list[Path]:
    """The files below a folder in which some bytes stand."""
    files = (path for path in root.rglob("*") if path.is_file())
    return [path for path in files if secret in path.read_bytes()]


@pytest.mark.long
def test_secrets_of_the_environment_are_written_nowhere(workspace: Workspace) -> None:
    """Settings, logs, records, artifacts, and the database of the flow's own Prefect server."""
    planted = {
        "AWS_SECRET_ACCESS_KEY": "planted-aws",
        "MLFLOW_TRACKING_TOKEN": "planted-token",
        "PREFECT_SERVER_API_AUTH_STRING": "me:planted-auth",
        "PREFECT_API_AUTH_STRING": "me:planted-for-another-server",
    }
    place = workspace.root.parent / "mlflow"
    place.mkdir()
    give_prefect_db(workspace.state / "prefect")
    with mlflow_server(place) as server:
        address = server.replace("http://", "http://me:planted-p%40ssword@")
        status, output = run(workspace.root, MLFLOW_TRACKING_URI=address, **planted)
        assert status == 0, output
        aliases = MlflowClient(server).get_registered_model("hgmnet-phantom").aliases
        assert aliases.keys() == {"challenger"}
    assert "planted" not in output
    assert f"{server}/#/experiments/" in output
    assert (workspace.state / "prefect" / "prefect.db").is_file()
    assert not holding(workspace.root.parent, b"planted-")


def test_a_stage_that_takes_too_long_is_ended(workspace: Workspace, url: str) -> None:
    replace(workspace, "ingest", "echo asleep; sleep 600")
    change_params(workspace, flow={"timeout_minutes": {"default": 2, "ingest": 0.05}})
    status, output = run(workspace.root, PREFECT_API_URL=url)
    assert status == 1
    assert "was ended after 0.05 minutes (params.yaml: flow.timeout_minutes)" in output
    assert gone_within(30, workspace.root)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_flow_with_all_that_it_started(
    workspace: Workspace, url: str, number: signal.Signals
) -> None:
    process = asleep_in(workspace, PREFECT_API_URL=url)
    assert len(working_below(workspace.root)) > 3  # flow, supervisor, DVC, shell
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in {-number, 128 + number}, output
    assert "Traceback" not in output
    assert gone_within(30, workspace.root)
    assert last_run(url) == ("CRASHED", "Crashed")


@needs_proc
def test_a_killed_flow_leaves_neither_a_stage_nor_its_server(workspace: Workspace) -> None:
    give_prefect_db(workspace.state / "prefect")
    process = asleep_in(workspace, PREFECT_API_URL="http://127.0.0.1:1/api")
    assert len(working_below(workspace.root)) > 5  # and the server with its supervisor
    process.kill()
    output, _ = process.communicate(timeout=60)
    assert gone_within(30, workspace.root), output


def asleep_in(workspace: Workspace, **env: str) -> subprocess.Popen[str]:
    """A flow in the midst of its second stage."""
    replace(workspace, "ingest", "echo asleep; sleep 600")
    process = start(workspace.root, **env)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.endswith("- asleep\n"):
            return process
    raise AssertionError("".join(lines))
