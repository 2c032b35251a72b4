"""One Prefect server for a command: found, or started and ended with it.

This file doesn't import prefect: it reads its settings once, when it is imported, and those are
what `running` sets.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock, Timeout

from hgmnet.errors import ConfigError, HgmnetError
from pipelines.system.processes import supervised
from pipelines.system.urls import redact_credentials

STARTUP_SECONDS = 180.0
"""A server takes 5 s on a free machine, half a minute on a busy one."""


@contextmanager
def running(root: Path) -> Iterator[str]:
    """Have a Prefect server; import prefect inside this block only.

    The one that PREFECT_API_URL names, if it answers; otherwise one is started on a free port of
    this machine, with its history in PREFECT_HOME (`<root>/.hgmnet/prefect` unless set), and ended
    with the block or with this process. PREFECT_API_URL then names it, for children too.

    Yields:
        The address of its API.

    Raises:
        HgmnetError: another command has a server of its own on the same history.
        ConfigError: the server doesn't start.
    """
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    named = os.environ.get("PREFECT_API_URL")
    found = named if named and _answers(named) else None
    if named and not found:
        print(
            f"PREFECT_API_URL: {redact_credentials(named)} does not answer; starting a server",
            file=sys.stderr,
        )
    with nullcontext(found) if found else _own(root) as url:
        try:
            yield url
        finally:
            _drain()


@contextmanager
def _own(root: Path) -> Iterator[str]:
    home = Path(os.environ.get("PREFECT_HOME", root / ".hgmnet" / "prefect")).absolute()
    os.environ["PREFECT_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    url = os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    app = ["--factory", "prefect.server.api.server:create_app"]
    command = [sys.executable, "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "PREFECT_UI_API_URL": url}
    log = home / "server.log"
    with (
        _alone(home),
        log.open("wb") as output,
        supervised(command, cwd=home, env=env, output=output) as process,
    ):
        _wait_until_it_answers(url, process, log)
        yield url


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two servers on one database lose each other's writes."""
    try:
        with FileLock(home / "server.lock", timeout=0):
            yield
    except Timeout:
        msg = f"a flow has its server in {home} already; wait for its end, or stop it"
        raise HgmnetError(msg) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigError(f"the Prefect server at {url} did not start; {log} says why")
        time.sleep(0.2)


def _drain() -> None:
    """Log lines and task states are sent in the background; have them arrive."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5):  # noqa: S310 - the user's own setting, or ours
            return True
    except (OSError, ValueError):
        return False
