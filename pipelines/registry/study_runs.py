"""A study in MLflow: a parent run and a child per cell; a failing store never stops the study."""

import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.artifacts.io import write_json
from pipelines.registry.tracking_store import (
    ForgivingStore,
    TrackingStore,
    create_run,
    log_metrics,
    log_params,
    reopened,
)

_PARENT = "parent"


class StudyRuns:
    """The runs of one study; their ids are kept in the file `memo`, for when it is resumed.

    `params`: the study's settings. As in `ForgivingStore`, no method raises.
    """

    def __init__(
        self, root: Path, data: str, memo: Path, *, name: str, params: Mapping[str, str]
    ) -> None:
        self._memo = memo
        self._ids: dict[str, str] = json.loads(memo.read_text("utf-8")) if memo.exists() else {}
        self._store = ForgivingStore(root, data, "the study is not in MLflow, but goes on")
        self._store.call(lambda store: self._open(store, name, params))

    def child(self, name: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """Record a cell, once."""

        def add(store: TrackingStore) -> None:
            tags = {"mlflow.parentRunId": self._ids[_PARENT], "hgmnet.kind": "study cell"}
            run = create_run(store, name, tags)
            log_params(store, run, params)
            log_metrics(store, run, metrics)
            store.client.set_terminated(run, "FINISHED")
            self._ids[name] = run
            write_json(self._memo, self._ids)

        if name not in self._ids:
            self._store.call(add)

    def finish(self, metrics: Mapping[str, float], folder: Path) -> None:
        """Record the study's figures and files, and close it."""

        def close(store: TrackingStore) -> None:
            run = self._ids[_PARENT]
            log_metrics(store, run, metrics)
            for file in sorted(path for path in folder.iterdir() if path.is_file()):
                store.client.log_artifact(run, str(file))
            store.client.set_terminated(run, "FINISHED")

        self._store.call(close, seconds=60.0)

    def stopped(self) -> None:
        """Mark the study as stopped before its end."""
        self._store.call(lambda store: store.client.set_terminated(self._ids[_PARENT], "KILLED"))

    def _open(self, store: TrackingStore, name: str, params: Mapping[str, str]) -> None:
        if _PARENT not in self._ids or not reopened(store, self._ids[_PARENT]):
            tags = {"hgmnet.kind": "study", "hgmnet.study": name}
            self._ids = {_PARENT: create_run(store, f"study {name}", tags)}
            log_params(store, self._ids[_PARENT], params)
            write_json(self._memo, self._ids)
