"""Servers and worker of one machine: started where missing, ended together."""

import base64
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal, Self
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError, redact_credentials
from pipelines.operations.deployments import POOL, deploy
from pipelines.system.processes import supervised

_APP = ("--factory", "pipelines.flows.prefect.local_app:local_app")
_CODE = ("--app-dir", str(Path(__file__).resolve().parents[2]))
PREFECT_SERVER = ("uvicorn", *_APP, *_CODE, "--host", "127.0.0.1")
"""A Python module and its arguments except `--port`."""
AUTH = "PREFECT_API_AUTH_STRING"
"""Variable with user name and password, joined by a colon, of Prefect's clients."""
_TRACKING = "MLFLOW_TRACKING_URI"
_UP = "HGMNET_UP"
"""Variable that marks the server of `hgmnet up`, which outlives a command."""
_SERVER_AUTH = "PREFECT_SERVER_API_AUTH_STRING"
ORIGINS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
"""Variable with the addresses of the pages, joined by commas, that may use a Prefect server."""
_HOSTS = "127.0.0.1,127.0.0.1:*,localhost,localhost:*"


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
        self._health: dict[str, str] = {}
        home = os.environ.get("PREFECT_HOME", str(root / ".hgmnet" / "prefect"))
        self._env = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes, unused here
            "MLFLOW_SERVER_ALLOWED_HOSTS": _HOSTS,
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
        """Start Prefect's server, unless PREFECT_API_URL names one; `await_server` waits for it.

        Raises:
            ConfigError: the port is in use, or the named server does not answer, or refuses
                PREFECT_API_AUTH_STRING.
        """
        url = os.environ.get("PREFECT_API_URL")
        if url is None:
            access = prefect_access(self._root, port, lasting=True)
            self._env |= self._stack.enter_context(access)
            self._serve("Prefect", PREFECT_SERVER, port, "/api/health")
        elif not answers(f"{url}/health"):
            raise ConfigError(f"PREFECT_API_URL: {url} does not answer; start it, or unset it")
        else:
            check_password(url)

    def start_mlflow(self, port: int) -> None:
        """Start MLflow's server on this checkout's database, unless MLFLOW_TRACKING_URI names one.

        `await_server` waits for it.

        Raises:
            ConfigError: the port is in use, or the database is of another MLflow version.
        """
        print("Opening MLflow's records")
        from pipelines.registry import database
        from pipelines.registry.tracking_store import (
            CREDENTIALS,
            open_tracking_store,
            store_errors_as_messages,
            tracking_uri,
        )

        uri = tracking_uri(self._root)
        self._env |= {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
        if database.file_of(uri):
            database.prepare(self._root, uri)
            # its artifacts can then be read without the server, too; what fails, a run reports
            with suppress(HgmnetError), store_errors_as_messages(self._root):
                data = load_params(self._root / "params.yaml").data.name
                open_tracking_store(self._root, data, 60)
            places = ["--backend-store-uri", uri, "--artifacts-destination"]
            command = ["mlflow", "server", *places, str(self._root / database.ARTIFACTS)]
            words = [*command, "--workers", "1", "--host", "127.0.0.1"]
            self._serve("MLflow", words, port, "/health")
            uri = f"http://127.0.0.1:{port}"
            if (file := _access_file(self._root)).exists():
                with file.open("a") as out:
                    out.write(f"export {_TRACKING}={uri}\n")
        self._env[_TRACKING] = uri

    def await_server(self, name: Literal["Prefect", "MLflow"]) -> None:
        """Wait until a server that was started here answers, and print its address.

        Raises:
            ConfigError: it ended, or did not answer within 180 s.
        """
        if health := self._health.get(name):
            log = self.logs / f"{name.lower()}.log"
            print(f"Waiting for {name}'s server; its log: {log}")
            await_answer(name, health, self._children[name.lower()], log)
            if name == "Prefect":
                _bury(self._env["PREFECT_API_URL"], self._env[AUTH])
        variable = {"Prefect": "PREFECT_API_URL", "MLflow": _TRACKING}[name]
        print(f"{name:<8} {redact_credentials(self._env[variable].removesuffix('/api'))}")

    def deploy(self) -> None:
        """Deploy what is missing or has changed in prefect.yaml and automations.yaml.

        What a person changed on Prefect's pages stays, and is printed.

        Raises:
            ConfigError: a `prefect` command failed, or the server refused a request.
        """
        print("Comparing deployments with prefect.yaml")
        for line in deploy(self._root, self._api, self._prefect):
            print(line)

    def start_worker(self) -> None:
        """Start a worker that runs scheduled flow runs."""
        words = ["worker", "start", "--pool", POOL, "--name", f"hgmnet-{socket.gethostname()}"]
        self._start("worker", ["prefect", *words])

    def how_to_sign_in(self) -> str:
        """Return a line on the password of Prefect's server; empty if the server is not ours."""
        return how_to_sign_in(self._root, self._env["PREFECT_API_URL"])

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
        _refuse_taken(name.lower(), port)
        self._start(name.lower(), [*module, "--port", str(port)])
        self._health[name] = f"http://127.0.0.1:{port}{health}"

    def _start(self, name: str, module: Sequence[str]) -> "subprocess.Popen[bytes]":
        log = self._stack.enter_context((self.logs / f"{name}.log").open("wb"))
        command = [sys.executable, "-m", *module]
        child = supervised(command, cwd=self._root, env=self._env, output=log)
        self._children[name] = self._stack.enter_context(child)
        return self._children[name]

    def _api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request to Prefect's server; return its answer, None if nothing is there."""
        url, password = f"{self._env['PREFECT_API_URL']}{path}", self._env.get(AUTH, "")
        for pause_s in (0.5, 1, 2, 4, 8, 0):
            try:
                text = _ask(url, password, body, method)
                break
            except HTTPError as error:
                if error.code == HTTPStatus.NOT_FOUND:
                    return None
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or not pause_s:
                    raise ConfigError(f"Prefect refuses {method} {path}: {error}") from None
                time.sleep(pause_s)  # its SQLite is locked; Prefect's own clients ask again, too
        return json.loads(text) if text else {}

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


def _bury(api: str, password: str) -> None:
    """Mark this server's unfinished flow runs as crashed: they ended with the last `up`.

    Otherwise they would stay Running for ever, and block their deployment for minutes.
    """
    under_way = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]
    wanted = {"flow_runs": {"state": {"type": {"any_": under_way}}}}
    said = "`hgmnet up` ended during this run; the next run continues it"
    crashed = {"type": "CRASHED", "name": "Crashed", "message": said}
    for run in json.loads(_ask(f"{api}/flow_runs/filter", password, wanted)):
        address = f"{api}/flow_runs/{run['id']}/set_state"
        _ask(address, password, {"state": crashed, "force": False})


def _ask(
    url: str, password: str = "", body: dict[str, Any] | None = None, method: str | None = None
) -> bytes:
    """Send a request and return the answer.

    `password`: user name and password, joined by a colon; those in the address come first.
    `method`: default: POST with a body, else GET.
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(parts._replace(netloc=host).geturl(), data, headers, method=method)  # noqa: S310
    if known := unquote(user) or password:
        basic = base64.b64encode(known.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    elif key := os.environ.get("PREFECT_API_KEY"):
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request, timeout=5 if body is None else 30) as answer:  # noqa: S310
            return bytes(answer.read())
    except HTTPError as error:
        error.close()
        raise


@contextmanager
def prefect_access(root: Path, port: int, *, lasting: bool = False) -> Iterator[dict[str, str]]:
    """Provide the environment of a Prefect server at `port` of this machine, and of its clients.

    `lasting`: it is that of `hgmnet up`, which other commands use.

    Without a password, any web page and any user of this machine could have the worker run a
    command. It is PREFECT_SERVER_API_AUTH_STRING if that is set, else random. During the block it
    is also in <root>/.hgmnet/prefect.env, which only its owner can read.
    """
    url = f"http://127.0.0.1:{port}/api"
    password = os.environ.get(_SERVER_AUTH) or f"hgmnet:{secrets.token_urlsafe(24)}"
    clients = {"PREFECT_API_URL": url, AUTH: password} | ({_UP: "1"} if lasting else {})
    file = _access_file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
        out.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in clients.items())
    own = ",".join(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))
    try:
        yield {
            **clients,
            _SERVER_AUTH: password,
            ORIGINS: os.environ.get(ORIGINS, own),
            "PREFECT_UI_API_URL": url,
        }
    finally:
        file.unlink(missing_ok=True)


def _access_file(root: Path) -> Path:
    return root / ".hgmnet" / "prefect.env"


def use_own_server(root: Path) -> None:
    """Set PREFECT_API_URL to the server of `hgmnet up` if it runs here and none is named.

    Likewise MLFLOW_TRACKING_URI: what was recorded through that server can only be read through it.
    Set PREFECT_API_AUTH_STRING, too, if PREFECT_API_URL names this checkout's own server.
    """
    known = _access(root)
    if "PREFECT_API_URL" not in os.environ:
        if _UP in known and answers(f"{known['PREFECT_API_URL']}/health"):
            named = {name: os.environ[name] for name in (_TRACKING,) if name in os.environ}
            os.environ |= known | named
    elif AUTH not in os.environ and (own := _password(root, os.environ["PREFECT_API_URL"])):
        os.environ[AUTH] = own


def how_to_sign_in(root: Path, api: str) -> str:
    """Return a line on the password of this checkout's own server; empty if `api` is another's.

    A terminal is shown the password, a log only where it is.
    """
    if not (own := _password(root, api)):
        return ""
    file = _access_file(root)
    shown = own if sys.stdout.isatty() else f"the password in {file}"
    return f"Sign in to Prefect's page with {shown}. In another terminal: . {file}"


def _password(root: Path, api: str) -> str:
    """User name and password in the file of `prefect_access`; empty if it is of another server."""
    known = _access(root)
    return known.get(AUTH, "") if known.get("PREFECT_API_URL") == api else ""


def _access(root: Path) -> dict[str, str]:
    """The variables in the file of `prefect_access`; empty where no server runs."""
    try:
        words = shlex.split(_access_file(root).read_text())
    except FileNotFoundError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def check_password(api: str) -> None:
    """Check that a Prefect server accepts this environment's user and password, or needs none.

    Raises:
        ConfigError: it does not.
    """
    try:
        _ask(f"{api}/admin/version", os.environ.get(AUTH, ""))
    except HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED and "PREFECT_API_KEY" not in os.environ:
            raise ConfigError(
                f"PREFECT_API_URL: {api} wants a password; set {AUTH}, or where `hgmnet up` runs: "
                ". .hgmnet/prefect.env"
            ) from None
    except OSError:
        return  # as a missing server


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
        _ask(url)
    except (OSError, ValueError, HTTPException):
        return False
    return True


def _refuse_taken(name: str, port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"127.0.0.1:{port}: {why}; take another: --{name}-port N") from None
