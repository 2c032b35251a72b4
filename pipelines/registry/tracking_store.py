"""The MLflow tracking store: its address, creation under a lock, time limits and retries."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Metric, Param, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils import get_results_from_paginated_fn
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from hgmnet.errors import ConfigError, redact_credentials
from pipelines.artifacts.paths import checkout
from pipelines.registry import database

T = TypeVar("T")
STORE_ERRORS = (TimeoutError, MlflowException, SQLAlchemyError, OSError)
"""Errors of a store that is down or only partly reachable."""
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_VARIABLE = "MLFLOW_TRACKING_URI"
_FLUENT = threading.RLock()
_PATIENCE_S = 5.0
_PARAMS_A_BATCH = 100


class TrackingStoreUnavailableError(ConfigError):
    """The tracking store does not answer, or answers with an error; a retry may succeed."""


@dataclass(frozen=True)
class TrackingStore:
    """An open tracking store: client, address, and a data set's experiment."""

    client: MlflowClient
    uri: str
    experiment_id: str
    experiment: str


class ForgivingStore:
    """A tracking store whose failures never stop the caller.

    The first failure or timeout prints one line on stderr, `complaint` and the reason. Then nothing
    more is sent. No method raises.
    """

    def __init__(self, root: Path, data: str, complaint: str) -> None:
        self._complaint = complaint
        self._store: TrackingStore | None = None
        try:
            self._store = open_tracking_store(root, data, _PATIENCE_S)
        except Exception as error:
            self._give_up(error)

    def call(self, action: Callable[[TrackingStore], object], seconds: float = _PATIENCE_S) -> None:
        """Run `action` on the store within `seconds`, unless the store has failed before."""
        store = self._store
        if store is None:
            return
        try:
            with http_limits(timeout_s=_PATIENCE_S, retries=0):
                call_with_timeout(seconds, lambda: action(store))
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._store = None
        print(f"hgmnet: {self._complaint}: {first_line(error)}", file=sys.stderr)


def first_line(error: Exception) -> str:
    """First line of an error's message, without passwords."""
    return redact_credentials(str(error).strip().split("\n")[0])


def reopened(store: TrackingStore, run_id: str) -> bool:
    """Reopen a run; return whether this store has it."""
    try:
        store.client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # begun in another store
            return False
        raise
    return True


def create_run(store: TrackingStore, name: str, tags: dict[str, str]) -> str:
    """Start a run in the store's experiment; return its id."""
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    return str(run.info.run_id)


def log_params(store: TrackingStore, run_id: str, params: Mapping[str, object]) -> None:
    """Log params, 100 per request; a truth value is written as in YAML."""
    plain = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in params.items()}
    values = [Param(name, value) for name, value in plain.items()]
    for start in range(0, len(values), _PARAMS_A_BATCH):
        store.client.log_batch(run_id, params=values[start : start + _PARAMS_A_BATCH])


def log_metrics(
    store: TrackingStore, run_id: str, metrics: Mapping[str, float], step: int = 0
) -> None:
    """Log metrics of one step, in one request."""
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, step) for name, value in metrics.items()]
    store.client.log_batch(run_id, metrics=values)


def beside(store: TrackingStore, topic: str) -> TrackingStore:
    """Return the store at the experiment `<its experiment>-<topic>`, created if missing.

    Raises:
        ConfigError: the experiment was deleted.
    """
    if found := found_beside(store, topic):
        return found
    files = store.client.get_experiment(store.experiment_id).artifact_location
    local = database.file_of(store.uri)
    made = _create(store.client, f"{store.experiment}-{topic}", files if local else None)
    return _at(store.client, store.uri, made)


def found_beside(store: TrackingStore, topic: str) -> TrackingStore | None:
    """Return the store as `beside`; None where there is no such experiment yet."""
    found = store.client.get_experiment_by_name(f"{store.experiment}-{topic}")
    return _at(store.client, store.uri, found) if found else None


def all_runs(store: TrackingStore, query: str = "", view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """Return the experiment's runs that match an MLflow query."""
    ids, search = [store.experiment_id], store.client.search_runs
    runs: list[Run] = get_results_from_paginated_fn(
        lambda most, token: search(ids, query, view, most, page_token=token), 1000
    )
    return runs


def tracking_uri(root: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, or <root>/mlflow.db, as an absolute address.

    In an experiment's copy, relative paths start at its checkout. A server's user and password are
    moved to the environment.

    Raises:
        ConfigError: it is a folder of plain files, which MLflow no longer reads.
    """
    uri = database.absolute(root, os.environ.get(_VARIABLE) or database.DEFAULT)
    if "://" not in uri or uri.startswith("file:"):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI={redact_credentials(uri)}: expected http://host:port or "
            "sqlite:////<path>/mlflow.db"
        )
    return _without_credentials(uri)


def _without_credentials(uri: str) -> str:
    """Move user and password from a server's address to MLflow's own variables for them.

    MLflow prints and logs addresses, and puts them into its errors.
    """
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    if not at or parts.scheme not in {"http", "https"}:
        return uri
    for name, value in zip(CREDENTIALS, user.split(":", 1), strict=False):
        os.environ[name] = unquote(value)
    os.environ[_VARIABLE] = parts._replace(netloc=host).geturl()
    return os.environ[_VARIABLE]


def open_tracking_store(root: Path, data: str, seconds: float) -> TrackingStore:
    """Open the store; create the database and the experiment `hgmnet-<data>` if missing.

    A local database is created under a file lock: several processes at once would break it. Its
    artifacts go to <root>/mlartifacts. A server must answer within `seconds`; a local
    database may take 60 s, because creating one takes seconds on an idle machine.

    Raises:
        ConfigError: the address is not valid, or the experiment was deleted.
        TimeoutError: no answer in time.
        MlflowException, SQLAlchemyError, ImportError: the store can't be used.
    """
    uri = tracking_uri(root)
    _quieten()
    allowed = 60.0 if database.file_of(uri) else seconds
    with http_limits(timeout_s=seconds, retries=0):
        return call_with_timeout(allowed, lambda: _open(checkout(root), uri, f"hgmnet-{data}"))


def open_store_at(root: Path, uri: str, data: str) -> TrackingStore:
    """Open another store than the environment's, as `open_tracking_store`; files lie beside it.

    Raises:
        ConfigError: it can't be used, or the address is none.
    """
    uri = database.absolute(root, uri)
    if "://" not in uri or uri.startswith("file:"):
        raise ConfigError(f"{uri}: expected http://host:port or sqlite:////<path>/mlflow.db")
    _quieten()
    file = database.file_of(uri)
    try:
        place = file.parent if file else root
        return call_with_timeout(60, lambda: _open(place, uri, f"hgmnet-{data}"))
    except (*STORE_ERRORS, ImportError) as error:
        address = redact_credentials(uri)
        raise ConfigError(f"MLflow at {address} can't be used ({first_line(error)})") from error


AGAIN = "then run the same command again"
"""Next step after a failure of the store."""


def connect_with_retries(root: Path, data: str, next_step: str = AGAIN) -> TrackingStore:
    """Call `open_tracking_store` up to four times with growing pauses, under a minute in all.

    Raises:
        TrackingStoreUnavailableError: the store can't be reached; the message has `next_step`.
    """
    for pause in (1, 2, 4, 0):
        try:
            return open_tracking_store(root, data, seconds=10)
        except (*STORE_ERRORS, ImportError) as error:
            reason = first_line(error)
        if database.file_of(tracking_uri(root)):
            break
        time.sleep(pause)
    raise _down(root, reason, next_step)


@contextmanager
def store_errors_as_messages(root: Path, next_step: str = AGAIN) -> Iterator[None]:
    """Turn a failing store's errors into TrackingStoreUnavailableError, with the next step."""
    try:
        yield
    except (TimeoutError, MlflowException, RequestException, SQLAlchemyError) as error:
        raise _down(root, first_line(error), next_step) from error


def _down(root: Path, reason: str, next_step: str) -> TrackingStoreUnavailableError:
    uri = redact_credentials(tracking_uri(root))
    return TrackingStoreUnavailableError(f"MLflow at {uri} can't be used ({reason}); {next_step}")


@contextmanager
def fluent_calls_to(uri: str) -> Iterator[None]:
    """Send MLflow's fluent calls to this store within the block.

    `set_tracking_uri` alone would stay in the environment: another repository in this process, and
    every child, would then use this store. One thread at a time: the store is the process's.
    """
    with _FLUENT:
        before = os.environ.get(_VARIABLE)
        mlflow.set_tracking_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # forgets it
            if before is not None:
                os.environ[_VARIABLE] = before


@contextmanager
def http_limits(timeout_s: float, retries: int) -> Iterator[None]:
    """Limit MLflow's requests to a server; its own defaults block for minutes."""
    limits = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(int(timeout_s)),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
    }
    before = {name: os.environ[name] for name in limits if name in os.environ}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name in limits:
            del os.environ[name]
        os.environ.update(before)


def call_with_timeout(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`, or raise its exception; a call that times out is abandoned.

    MLflow itself has no time limit for every kind of store.

    Raises:
        TimeoutError: `call` took longer.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # handed to the caller's thread
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    if wait([future], seconds).not_done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return future.result()


def _quieten() -> None:
    """Silence log lines that users don't need on stderr."""
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # with the password in it


def _open(root: Path, uri: str, experiment: str) -> TrackingStore:
    lock = root / ".hgmnet" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        database.prepare(root, uri)
        client = MlflowClient(uri)
        files = (root / database.ARTIFACTS).resolve().as_uri() if database.file_of(uri) else None
        found = client.get_experiment_by_name(experiment) or _create(client, experiment, files)
    return _at(client, uri, found)


def _at(client: MlflowClient, uri: str, found: Experiment) -> TrackingStore:
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise ConfigError(
            f"the experiment {found.name} was deleted in MLflow; restore it: MLFLOW_TRACKING_URI="
            f"{redact_credentials(uri)} mlflow experiments restore -x {found.experiment_id}"
        )
    return TrackingStore(client, uri, found.experiment_id, found.name)


def _create(client: MlflowClient, experiment: str, location: str | None) -> Experiment:
    try:
        kind = {"mlflow.experimentKind": "custom_model_development"}  # opens as model training
        made = client.create_experiment(experiment, location, tags=kind)
        return client.get_experiment(made)
    except MlflowException:
        other = client.get_experiment_by_name(experiment)
        if other is None:
            raise
        return other  # another checkout was faster
