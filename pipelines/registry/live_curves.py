"""Live training curves in MLflow; a failing store never stops training."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from pipelines.artifacts.paths import Workspace
from pipelines.registry.tracking_store import (
    ForgivingStore,
    TrackingStore,
    create_run,
    log_metrics,
    log_params,
    reopened,
)

if TYPE_CHECKING:
    from hgmnet.training.lightning_module import EpochFigures


class LiveCurves:
    """One MLflow run per training, reopened when a killed training resumes.

    Its id is stored with the checkpoints of `fingerprint`. `params`: of train, dotted keys. As in
    `ForgivingStore`, no method raises.

    Example:
        curves = LiveCurves(root, "phantom", fingerprint, {"train.epochs": "16"})
        curves.log(0, {"train_loss": 1.2, "val_lesion_dice": 0.4})
        curves.finish("FINISHED")
    """

    def __init__(
        self, root: Path, data: str, fingerprint: str, params: Mapping[str, str | float | bool]
    ) -> None:
        self._run_id = ""
        self._machine: SystemMetricsMonitor | None = None
        self._store = ForgivingStore(root, data, "no live curves in MLflow, training goes on")
        memo = Workspace(root, data).checkpoints / fingerprint / "mlflow_run"

        def enter(store: TrackingStore) -> None:
            self._run_id = _resume(store, memo) or _start(store, memo, fingerprint, params)
            self._machine = _watch_machine(store, self._run_id)

        self._store.call(enter)

    def log(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Log an epoch's figures in one request; later calls for the same epoch add to it."""
        self._store.call(lambda store: log_metrics(store, self._run_id, figures, epoch))

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Close the run."""
        if machine := self._machine:
            self._store.call(lambda _: machine.finish())
        self._store.call(lambda store: store.client.set_terminated(self._run_id, status))


@contextmanager
def live_curves(
    root: Path, data: str, fingerprint: str, params: Mapping[str, str | float | bool]
) -> Iterator[Callable[["EpochFigures"], None]]:
    """Keep a run open within the block; the yielded function logs one epoch's figures."""
    curves = LiveCurves(root, data, fingerprint, params)
    try:
        yield lambda figures: curves.log(
            figures.epoch, figures.model_dump(exclude={"epoch"}, exclude_none=True)
        )
    except BaseException as error:
        curves.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    curves.finish("FINISHED")


def _watch_machine(store: TrackingStore, run_id: str) -> SystemMetricsMonitor | None:
    """Log this machine's load every ten seconds, unless MLflow's variable switches that off."""
    variable = MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    if variable.is_set() and not variable.get():
        return None
    machine = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=store.uri)
    machine.start()
    return machine


def _resume(store: TrackingStore, memo: Path) -> str | None:
    """Reopen an interrupted training's run; None where this store has none."""
    if not memo.exists():
        return None
    run_id = memo.read_text(encoding="utf-8").strip()
    return run_id if reopened(store, run_id) else None


def _start(
    store: TrackingStore, memo: Path, fingerprint: str, params: Mapping[str, str | float | bool]
) -> str:
    tags = {
        "hgmnet.kind": "training",
        "hgmnet.fingerprint": fingerprint,
        "mlflow.source.name": "hgmnet stage train",
        "mlflow.note.content": "A training: its curves. Verdicts on its model are nested runs.",
    }
    run_id = create_run(store, f"training {fingerprint[:8]}", tags)
    log_params(store, run_id, params)
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(run_id + "\n", encoding="utf-8")
    return run_id
