"""Servers and worker of one machine: started where missing, ended together."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from hgmnet.errors import ConfigError, HgmnetError
from pipelines.system.processes import supervised
from pipelines.system.urls import redact_credentials

POOL = "hgmnet"
"""The work pool of prefect.yaml."""
_APP = ("--factory", "prefect.server.api.server:create_app")
PREFECT_SERVER = ("uvicorn", *_APP, "--host", "127.0.0.1")
"""A Python module and its arguments except `--port`."""


class Services:
    """Child processes that live as long as the block.

    Their state is in <root>/.hgmnet and <root>/mlflow.db. Running servers at PREFECT_API_URL and
    MLFLOW_TRACKING_URI are used and not ended.
    """

    def __init__(self, root: Path) -> None:
        """Prepare; nothing is started."""
        self.logs = root / ".hgmnet" / "up"
        self._root = root
        self._stack = ExitStack()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        home = os.environ.get("PREFECT_HOME", str(root / ".hgmnet" / "prefect"))
        self._env = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes, unused here
            **os.environ,
            "DO_NOT_TRACK": "1",
            "DVC_NO_ANALYTICS": "1",
            "HGMNET_ROOT": str(root),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PREFECT_HOME": str(Path(home).absolute()),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PYTHONUNBUFFERED": "1",
        }

    def __enter__(self) -> Self:
        """Lock this checkout against other servers.

        Raises:
            HgmnetError: another command holds the lock.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        Path(self._env["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
        lock = FileLock(Path(self._env["PREFECT_HOME"]) / "server.lock", timeout=0)
        try:  # a flow with its own server takes it too: two servers on one database lose writes
            self._stack.enter_context(lock)
        except Timeout:
            raise HgmnetError(
                "`hgmnet up`, or a flow with its own server, runs here already; stop it first"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """End the child processes, the last first."""
        self._stack.close()

    def start_prefect(self, port: int) -> None:
        """Start Prefect's server, unless PREFECT_API_URL names one.

        Raises:
            ConfigError: the port is in use, or the server does not start or answer.
        """
        url = os.environ.get("PREFECT_API_URL")
        if url is None:
            url = f"http://127.0.0.1:{port}/api"
            self._env["PREFECT_UI_API_URL"] = url
            self._serve("prefect", PREFECT_SERVER, port, "/api/health")
            _bury(url)
        elif not answers(f"{url}/health"):
            raise ConfigError(
                f"PREFECT_API_URL: {redact_credentials(url)} does not answer; start it, or unset it"
            )
        self._env["PREFECT_API_URL"] = url
        print(f"Prefect  {redact_credentials(url.removesuffix('/api'))}")

    def start_mlflow(self, port: int) -> None:
        """Start MLflow's server on this checkout's database, unless MLFLOW_TRACKING_URI names one.

        Raises:
            ConfigError: the port is in use, the server does not start, or the database is of
                another MLflow version.
        """
        from pipelines.registry import database
        from pipelines.registry.tracking_store import tracking_uri

        uri = tracking_uri(self._root)
        if database.file_of(uri):
            database.prepare(self._root, uri)
            places = ["--backend-store-uri", uri, "--artifacts-destination"]
            command = ["mlflow", "server", *places, str(self._root / database.ARTIFACTS)]
            words = [*command, "--workers", "1", "--host", "127.0.0.1"]
            self._serve("mlflow", words, port, "/health")
            uri = f"http://127.0.0.1:{port}"
        self._env["MLFLOW_TRACKING_URI"] = uri
        print(f"MLflow   {redact_credentials(uri)}")

    def deploy(self) -> None:
        """Create or update the work pool and the deployments of prefect.yaml.

        Raises:
            ConfigError: a `prefect` command failed.
        """
        self._prefect(["work-pool", "create", POOL, "--type", "process", "--overwrite"])
        self._prefect(["--no-prompt", "deploy", "--all"])

    def start_worker(self) -> None:
        """Start a worker that runs scheduled flow runs."""
        words = ["worker", "start", "--pool", POOL, "--name", f"hgmnet-{socket.gethostname()}"]
        self._start("worker", ["prefect", *words])

    def wait(self) -> None:
        """Wait until Ctrl-C.

        Raises:
            HgmnetError: a child process ended by itself.
        """
        while True:
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise HgmnetError(f"{name} ended; see {self.logs / name}.log")
            time.sleep(0.5)

    def _serve(self, name: str, module: Sequence[str], port: int, health: str) -> None:
        _refuse_taken(name, port)
        child = self._start(name, [*module, "--port", str(port)])
        log = self.logs / f"{name}.log"
        await_answer(name, f"http://127.0.0.1:{port}{health}", child, log)

    def _start(self, name: str, module: Sequence[str]) -> "subprocess.Popen[bytes]":
        log = self._stack.enter_context((self.logs / f"{name}.log").open("wb"))
        command = [sys.executable, "-m", *module]
        child = supervised(command, cwd=self._root, env=self._env, output=log)
        self._children[name] = self._stack.enter_context(child)
        return self._children[name]

    def _prefect(self, words: Sequence[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *words],
            cwd=self._root,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        (self.logs / "deploy.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            why = done.stderr.strip() or done.stdout.strip()
            raise ConfigError(f"`prefect {' '.join(words)}` failed: {why[-1000:]}")


def _bury(api: str) -> None:
    """Mark this server's unfinished flow runs as crashed: they ended with the last `up`.

    Otherwise they would stay Running for ever, and block their deployment for minutes.
    """
    under_way = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]
    wanted = {"flow_runs": {"state": {"type": {"any_": under_way}}}}
    said = "`hgmnet up` ended during this run; the next run continues it"
    crashed = {"type": "CRASHED", "name": "Crashed", "message": said}
    for run in _post(f"{api}/flow_runs/filter", wanted):
        _post(f"{api}/flow_runs/{run['id']}/set_state", {"state": crashed, "force": False})


def _post(url: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own server
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def await_answer(name: str, url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a new server answers: 5 s on an idle machine, 30 s on a busy one.

    Raises:
        ConfigError: it ended, or did not answer within 180 s.
    """
    deadline = time.monotonic() + 180
    while not answers(url):
        if server.poll() is not None or time.monotonic() > deadline:
            raise ConfigError(f"{name} did not start; see {log}")
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether a server answers at `url` without an error, within 5 s."""
    try:
        with urlopen(url, timeout=5):  # noqa: S310 - the user's own setting, or ours
            return True
    except (OSError, ValueError):
        return False


def _refuse_taken(name: str, port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"127.0.0.1:{port}: {why}; take another: --{name}-port N") from None
