"""Real servers for a test, MLflow's, Prefect's and PostgreSQL: on loopback, ended afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, make_url, text

from pipelines.system import processes
from tests.shared import give_mlflow_db, give_prefect_db, make_mlflow_tables, once

_STARTUP_S = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mlflow_server(
    folder: Path,
    backend: str = "sqlite:///server.db",
    port: int | None = None,
    artifacts: str = "files",
) -> Iterator[str]:
    """MLflow's server, its artifacts in <folder>/files or in another store; its address."""
    port = port or free_port()
    if backend == "sqlite:///server.db" and not (folder / "server.db").exists():
        give_mlflow_db(folder, "server.db")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", backend, "--artifacts-destination", artifacts]
    with _running([*command, *places], folder, port):
        yield f"http://127.0.0.1:{port}"


_shared = ExitStack()


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """A Prefect server that is there already, without a password; the address of its API.

    It's one for all the tests of a process, since it takes ten seconds to come up: it is started in
    the first one's folder and knows the flow runs of those before. `end_servers` ends it.
    """
    if not hasattr(prefect_server, "url"):
        server = prefect_server_at(free_port(), folder / "home")
        prefect_server.url = _shared.enter_context(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", prefect_server.url)
        yield prefect_server.url


def end_servers() -> None:
    """End what tests share, when a process has run its last one."""
    _shared.close()


@contextmanager
def prefect_server_at(port: int, home: Path) -> Iterator[str]:
    """A Prefect server at this very port, without a password; the address of its API.

    It schedules nothing and looks for no worker, which would cost a minute of a core in a test run.
    It is killed at the end.
    """
    if not home.exists():
        give_prefect_db(home)
    app = ["--factory", "prefect.server.api.server:create_app"]
    command = [sys.executable, "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port)]
    unused = ("CLEANUP_RECONCILER", "FOREMAN", "LATE_RUNS", "REPOSSESSOR", "SCHEDULER")
    quiet = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in unused}
    quiet |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    quick = {"PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.5"}  # not 5 s
    env = os.environ | quiet | quick | {"PREFECT_HOME": str(home)}
    with _running(command, home, port, env=env):
        yield f"http://127.0.0.1:{port}/api"


@contextmanager
def postgresql() -> Iterator[str]:
    """PostgreSQL with MLflow's empty tables; its address for SQLAlchemy, by the driver pg8000."""
    made = once("postgresql", _make_cluster)
    with TemporaryDirectory(prefix="pg-") as name:  # pytest's folders are their maker's alone
        subprocess.run(["cp", "-a", made, Path(name, "data")], check=True)  # it keeps the owner
        with _cluster(Path(name)) as url:
            yield url


def _make_cluster(path: Path) -> None:
    """Write PostgreSQL's data folder: initdb and MLflow's migrations take fifteen seconds."""
    with TemporaryDirectory(prefix="pg-") as name:
        data = Path(name, "data")
        words = ["-D", data, "-U", "hgmnet", "-A", "trust", "-E", "UTF8", "-N"]
        if user := _other_user():
            shutil.chown(name, user)
        command = [_programs() / "initdb", *words]
        subprocess.run(command, user=user, cwd=name, check=True, capture_output=True)
        with _cluster(Path(name)) as url:
            make_mlflow_tables(url)
        (data / "postmaster.pid").unlink(missing_ok=True)
        subprocess.run(["cp", "-a", data, path], check=True)


@contextmanager
def _cluster(folder: Path) -> Iterator[str]:
    """PostgreSQL's server on <folder>/data."""
    if user := _other_user():
        shutil.chown(folder, user)
    port = free_port()
    at = ["-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    with _running([str(_programs() / "postgres"), *at], folder, port, user):
        yield f"postgresql+pg8000://hgmnet@127.0.0.1:{port}/postgres"


def _other_user() -> str | None:
    """Who runs PostgreSQL, which refuses to run as root; None for this user."""
    return "nobody" if os.geteuid() == 0 else None


def copy_database(url: str, name: str) -> str:
    """The address of a copy of a PostgreSQL database; connections to the original are ended."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    there = make_url(url)
    engine = create_engine(there.set(database="template1"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(ended), {"name": there.database})
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{there.database}"'))
    engine.dispose()
    return there.set(database=name).render_as_string()


def _programs() -> Path:
    """Where initdb and postgres are; Debian keeps them off the PATH."""
    found = [Path(p).resolve().parent for p in (shutil.which("initdb"),) if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL's initdb and postgres are not installed here")


@contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    port: int,
    user: str | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[None]:
    """A program until the block is left; unless it's another user's, killing us ends it too."""
    if user is None:
        command = [sys.executable, "-I", processes.__file__, "0", *command]
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=user,
            env=env,
        )
        try:
            _wait_for(port, process)
            yield
        finally:
            process.stdin.close()
            if user is not None:
                process.send_signal(signal.SIGINT)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTUP_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended at once"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no answer at port {port} within {_STARTUP_S} s")
