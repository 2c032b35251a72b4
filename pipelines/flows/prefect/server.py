"""One Prefect server for a command: an existing one, or one that starts and ends with it.

This file doesn't import prefect, which reads its settings once, on import, after `running` has set
them.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from hgmnet.errors import HgmnetError, redact_credentials
from pipelines.operations.local_services import (
    AUTH,
    PREFECT_SERVER,
    answers,
    await_answer,
    check_password,
    prefect_access,
    use_own_server,
)
from pipelines.system.processes import supervised


@contextmanager
def running(root: Path) -> Iterator[str]:
    """Provide a Prefect server; import prefect inside this block only.

    It is the server at PREFECT_API_URL if that answers, or that of `hgmnet up` here; otherwise one
    is started on a free port of this machine, with its history in PREFECT_HOME
    (`<root>/.hgmnet/prefect` unless set), and ended with the block or this process. PREFECT_API_URL
    and its password, PREFECT_API_AUTH_STRING, are then set, for child processes too.

    Yields:
        The address of its API.

    Raises:
        HgmnetError: another command runs a server on the same history.
        ConfigError: the server doesn't start, or refuses PREFECT_API_AUTH_STRING.
    """
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    use_own_server(root)
    named = os.environ.get("PREFECT_API_URL")
    found = named if named and answers(f"{named}/health") else None
    if found:
        check_password(found)
    elif named:
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
    port, log = _free_port(), home / "server.log"
    command = [sys.executable, "-m", *PREFECT_SERVER, "--port", str(port)]
    with _alone(home), prefect_access(root, port) as access:
        url = access["PREFECT_API_URL"]
        os.environ |= {"PREFECT_API_URL": url, AUTH: access[AUTH]}
        with (
            log.open("wb") as output,
            supervised(command, cwd=home, env=os.environ | access, output=output) as process,
        ):
            await_answer(f"the Prefect server at {url}", f"{url}/health", process, log)
            yield url


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Lock the home folder: two servers on one database lose each other's writes."""
    try:
        with FileLock(home / "server.lock", timeout=0):
            yield
    except Timeout:
        raise HgmnetError(
            f"a flow has its server in {home} already; wait for its end, stop it, or use it: "
            ". .hgmnet/prefect.env"
        ) from None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _drain() -> None:
    """Send the log lines and events that are still queued in the background."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)
