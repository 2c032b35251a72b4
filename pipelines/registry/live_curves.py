"""Live curves: training reports to MLflow as it goes, and never suffers from it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from pipelines.artifacts.paths import Workspace
from pipelines.registry.tracking_store import (
    TrackingStore,
    call_with_timeout,
    http_limits,
    open_tracking_store,
)

if TYPE_CHECKING:
    from hgmnet.training.lightning_module import EpochFigures

T = TypeVar("T")
TIMEOUT_S = 5.0
_PARAMS_A_BATCH = 100


class LiveCurves:
    """One MLflow run for one training, found again where a killed training goes on.

    The first failure, or an answer that takes longer than 5 s, costs one line on stderr; then
    nothing more is reported. No method raises.

    Example:
        curves = LiveCurves(root, "phantom", fingerprint, {"train.epochs": "16"})
        curves.log(0, {"train_loss": 1.2, "val_lesion_dice": 0.4})
        curves.finish("FINISHED")
    """

    def __init__(
        self, root: Path, data: str, fingerprint: str, params: Mapping[str, str | float | bool]
    ) -> None:
        """Open the run.

        Args:
            root: the repository.
            data: the data set's name.
            fingerprint: of the training; the run's id lies beside its checkpoints.
            params: train's own, flat.
        """
        self._store: TrackingStore | None = None
        self._run_id = ""
        try:
            self._store = open_tracking_store(root, data, TIMEOUT_S)
        except Exception as error:
            _warn(error)
            return
        memo = Workspace(root, data).checkpoints / fingerprint / "mlflow_run"
        self._call(lambda store: self._enter(store, memo, fingerprint, params))

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Report an epoch's figures, in one request; a later report of an epoch is added to it."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in figures.items()]
        self._call(lambda store: store.client.log_batch(self._run_id, metrics=metrics))

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Close the run."""
        self._call(lambda store: store.client.set_terminated(self._run_id, status))

    def _call(self, action: Callable[[TrackingStore], T]) -> None:
        store = self._store
        if store is None:
            return
        try:
            with http_limits(timeout_s=TIMEOUT_S, retries=0):
                call_with_timeout(TIMEOUT_S, lambda: action(store))
        except Exception as error:
            self._store = None
            _warn(error)

    def _enter(
        self,
        store: TrackingStore,
        memo: Path,
        fingerprint: str,
        params: Mapping[str, str | float | bool],
    ) -> None:
        self._run_id = _resume(store, memo) or _start(store, memo, fingerprint, params)


@contextmanager
def live_curves(
    root: Path, data: str, fingerprint: str, params: Mapping[str, str | float | bool]
) -> Iterator[Callable[["EpochFigures"], None]]:
    """A run that is open within the block; the function reports an epoch's figures to it.

    Args:
        root: as of `LiveCurves`.
        data: as of `LiveCurves`.
        fingerprint: as of `LiveCurves`.
        params: as of `LiveCurves`.
    """
    curves = LiveCurves(root, data, fingerprint, params)
    try:
        yield lambda figures: curves.log(
            figures.epoch, figures.model_dump(exclude={"epoch"}, exclude_none=True)
        )
    except BaseException as error:
        curves.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    curves.finish("FINISHED")


def _resume(store: TrackingStore, memo: Path) -> str | None:
    """The run that an interrupted training began in this store, open again."""
    if not memo.exists():
        return None
    run_id = memo.read_text(encoding="utf-8").strip()
    try:
        store.client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # begun in another store
            return None
        raise
    return run_id


def _start(
    store: TrackingStore, memo: Path, fingerprint: str, params: Mapping[str, str | float | bool]
) -> str:
    tags = {"hgmnet.kind": "training", "hgmnet.fingerprint": fingerprint}
    name = f"training {fingerprint[:8]}"
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    run_id = str(run.info.run_id)
    values = [Param(name, str(value)) for name, value in params.items()]
    for start in range(0, len(values), _PARAMS_A_BATCH):
        store.client.log_batch(run_id, params=values[start : start + _PARAMS_A_BATCH])
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(run_id + "\n", encoding="utf-8")
    return run_id


def _warn(error: Exception) -> None:
    reason = str(error).strip().split("\n")[0]
    print(f"hgmnet: no live curves in MLflow, training goes on: {reason}", file=sys.stderr)
