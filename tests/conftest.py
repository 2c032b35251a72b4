"""What every test may use: where the real BUSI lies, and a repository of a dozen tiny images."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import launcher

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; torch reads it once
os.environ.setdefault("MKL_NUM_THREADS", "1")  # as Dask sets it for its workers: they can be forks
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # seven idle processes
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a copy of our code is compiled once
os.environ.pop("PYTHONUNBUFFERED", None)  # a user's shell has none
os.environ.pop("MLFLOW_TRACKING_URI", None)  # a store that somebody uses is none for tests
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's job behind an &
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children would be deaf to it, too

REPOSITORY = Path(__file__).resolve().parents[1]
FIRST = ("test_pipeline", "test_flow", "test_studies", "test_faults", "test_up", "test_training")
"""The files that take longest: one that is begun last is waited for."""


def pytest_configure(config: pytest.Config) -> None:
    """Before xdist starts its workers, which inherit the environment."""
    gc.disable()  # until the tests begin: there's nothing to collect in what imports make
    if not hasattr(config, "workerinput"):
        launcher.make()
        if config.getoption("numprocesses", None):
            launcher.start()  # workers are forks, too
    launcher.use()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for servers and for each other."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.set_threshold(100_000)  # a fifth of an export was collecting what is still in use
    gc.enable()
    if not hasattr(session.config, "workerinput"):
        ids = [item.nodeid for item in session.items]
        if sum("/e2e/" in name or "/faults/" in name for name in ids) > 5:
            launcher.start()  # worth twenty seconds of imports; a unit test is not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no forks first, while they become ready; then the longest files."""
    items.sort(key=lambda item: _place(item.path))


def _place(file: Path) -> tuple[int, int]:
    kinds = "contract", "property", "faults", "e2e", "unit"
    kind = kinds.index(file.relative_to(REPOSITORY).parts[1])
    return kind, FIRST.index(file.stem) if file.stem in FIRST else len(FIRST)


def pytest_sessionfinish() -> None:
    if "tests.servers" in sys.modules:
        sys.modules["tests.servers"].end_servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    gc.unfreeze()
    if not hasattr(config, "workerinput"):
        launcher.end()


@pytest.fixture(scope="module")
def real_python() -> Iterator[None]:
    """Nothing is forked: for tests that look at processes by their command lines and groups."""
    program, sys.executable = sys.executable, launcher.real_python()
    yield
    sys.executable = program


@pytest.fixture(scope="session")
def busi() -> Path:
    """The real BUSI folder; set BUSI to say where, else it is looked for beside the checkout."""
    folder = Path(os.environ.get("BUSI", REPOSITORY.parent / "shared/busi/Dataset_BUSI_with_GT"))
    if not folder.is_dir():
        pytest.skip("real BUSI is not here; set BUSI=<Dataset_BUSI_with_GT> to run this test")
    return folder


@pytest.fixture(scope="session")
def pretrained() -> Path:
    """Files of ImageNet weights; set WEIGHTS to say where, else beside the checkout."""
    folder = Path(os.environ.get("WEIGHTS", REPOSITORY.parent / "shared/weights"))
    if not folder.is_dir():
        pytest.skip("ImageNet weights are not here; set WEIGHTS=<folder> to run this test")
    return folder


@pytest.fixture(autouse=True)
def no_store_left() -> Iterator[None]:
    """MLflow's fluent calls leave a store's address in the process, for the tests that follow."""
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
    for name in ("URI", "USERNAME", "PASSWORD"):
        os.environ.pop(f"MLFLOW_TRACKING_{name}", None)
