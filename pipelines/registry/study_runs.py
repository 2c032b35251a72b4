"""A study in MLflow: a parent run, and a child for each cell; the study never suffers from it."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from pipelines.artifacts.io import write_json
from pipelines.registry.tracking_store import (
    TrackingStore,
    call_with_timeout,
    http_limits,
    open_tracking_store,
)

T = TypeVar("T")
_TIMEOUT_S = 5.0
_BATCH = 100
_PARENT = "parent"


class StudyRuns:
    """The runs of one study, found again by a memo where the study goes on.

    The first failure costs one line on stderr; then nothing more is recorded. No method raises.
    """

    def __init__(
        self, root: Path, data: str, memo: Path, *, name: str, params: Mapping[str, str]
    ) -> None:
        """Open the parent run.

        Args:
            root: the repository.
            data: the data set's name.
            memo: a file for this very study, that remembers its runs.
            name: of the study.
            params: what it was asked for.
        """
        self._memo = memo
        self._ids: dict[str, str] = json.loads(memo.read_text()) if memo.exists() else {}
        self._store: TrackingStore | None = None
        try:
            self._store = open_tracking_store(root, data, _TIMEOUT_S)
        except Exception as error:
            _warn(error)
            return
        self._call(lambda store: self._open(store, name, params))

    def child(self, name: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """Record a cell, once."""
        if name not in self._ids:
            self._call(lambda store: self._child(store, name, params, metrics))

    def finish(self, metrics: Mapping[str, float], folder: Path) -> None:
        """Record the study's figures and files, and close it."""

        def close(store: TrackingStore) -> None:
            run = self._ids[_PARENT]
            _log(store, run, {}, metrics)
            for file in sorted(path for path in folder.iterdir() if path.is_file()):
                store.client.log_artifact(run, str(file))
            store.client.set_terminated(run, "FINISHED")

        self._call(close, seconds=60.0)

    def stopped(self) -> None:
        """Note that the study did not come to its end."""
        self._call(lambda store: store.client.set_terminated(self._ids[_PARENT], "KILLED"))

    def _call(self, action: Callable[[TrackingStore], T], seconds: float = _TIMEOUT_S) -> None:
        store = self._store
        if store is None:
            return
        try:
            with http_limits(timeout_s=_TIMEOUT_S, retries=0):
                call_with_timeout(seconds, lambda: action(store))
        except Exception as error:
            self._store = None
            _warn(error)

    def _open(self, store: TrackingStore, name: str, params: Mapping[str, str]) -> None:
        if not _reopened(store, self._ids.get(_PARENT)):
            tags = {"hgmnet.kind": "study", "hgmnet.study": name}
            run = store.client.create_run(store.experiment_id, tags=tags, run_name=f"study {name}")
            self._ids = {_PARENT: str(run.info.run_id)}
            _log(store, self._ids[_PARENT], params, {})
            write_json(self._memo, self._ids)

    def _child(
        self,
        store: TrackingStore,
        name: str,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> None:
        tags = {"mlflow.parentRunId": self._ids[_PARENT], "hgmnet.kind": "study cell"}
        run = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
        _log(store, str(run.info.run_id), params, metrics)
        store.client.set_terminated(run.info.run_id, "FINISHED")
        self._ids[name] = str(run.info.run_id)
        write_json(self._memo, self._ids)


def _reopened(store: TrackingStore, run_id: str | None) -> bool:
    """Whether the run that was begun before is in this store; it is open again then."""
    if run_id is None:
        return False
    try:
        store.client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _log(
    store: TrackingStore, run: str, params: Mapping[str, str], metrics: Mapping[str, float]
) -> None:
    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in metrics.items()]
    words = [Param(name, value) for name, value in params.items()]
    for start in range(0, max(len(values), len(words)), _BATCH):
        part = slice(start, start + _BATCH)
        store.client.log_batch(run, metrics=values[part], params=words[part])


def _warn(error: Exception) -> None:
    reason = str(error).strip().split("\n")[0]
    print(f"hgmnet: the study is not in MLflow, but goes on: {reason}", file=sys.stderr)
