"""Things made once per test run, by the first worker that needs them; later tests copy them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.warm.launcher import run_folder


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The path of a file that `make` writes, if no worker has yet."""
    path = run_folder() / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            make(path.with_name(f"{name}.part"))
            path.with_name(f"{name}.part").rename(path)
    return path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own at a folder that exists, of so many megabytes."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone, and not in every container")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def give_mlflow_db(root: Path, name: str = "mlflow.db") -> None:
    """Give a repository an empty MLflow database; its migrations take seconds."""
    shutil.copy(once("mlflow.db", _make_mlflow_db), root / name)


def give_prefect_db(home: Path) -> None:
    """Give a PREFECT_HOME an empty Prefect database, in place of one that a server left."""
    home.mkdir(parents=True, exist_ok=True)
    for end in ("-wal", "-shm"):
        (home / f"prefect.db{end}").unlink(missing_ok=True)
    shutil.copy(once("prefect.db", _make_prefect_db), home / "prefect.db")


def _make_mlflow_db(path: Path) -> None:
    make_mlflow_tables(f"sqlite:///{path}")


def make_mlflow_tables(url: str) -> None:
    """Make MLflow's tables in an empty database."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(url)
    _initialize_tables(engine)
    engine.dispose()


def _make_prefect_db(path: Path) -> None:
    home = path.with_name("prefect-home")
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env=os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        check=True,
        capture_output=True,
    )
    (home / "prefect.db").rename(path)
