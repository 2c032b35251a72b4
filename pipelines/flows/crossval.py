"""The flow `crossval`: `hgmnet study crossval`, its folds one after the other or side by side."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from hgmnet.config import Params, load_params
from hgmnet.errors import HgmnetError
from pipelines.flows import notify, showing
from pipelines.flows.outcome import AnyState, renewed, state_of
from pipelines.flows.spreading import spread
from pipelines.studies.design import Size


@flow(**notify.HOOKS)
def crossval(
    root: Path,
    *,
    folds: int = 5,
    seeds: int = 1,
    smoke: bool = False,
    workers: int = 1,
    dask: str | None = None,
) -> AnyState:
    """Judge every image of train and val once, by a model that never saw it.

    Args:
        root: the repository root.
        folds: into which the images are dealt, by groups.
        seeds: trainings a fold.
        smoke: a few images and one epoch, to see that it runs.
        workers: processes of this machine.
        dask: the address of a Dask scheduler, whose workers see the same folders; instead of them.

    Returns:
        Completed; else Failed, with its reason.
    """
    size = Size(folds=folds, seeds=seeds, everything=False, smoke=smoke)
    try:
        params = load_params(root / "params.yaml")
        cells = _declared(root, params, size)[1].cells
        calls = [(root, params, size, i, cell.name) for i, cell in enumerate(cells)]
        for state in spread(fit, calls, workers, dask):
            if not state.is_completed():
                return renewed(state)
        told = _written_up(root, params, size)
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("%s", told)
    showing.page(f"crossval-{params.data.name}", told)
    return Completed(message=f"{len(cells)} cells: reports/studies/")


@task(task_run_name="{name}", cache_policy=NO_CACHE)
def fit(root: Path, params: Params, size: Size, number: int, name: str) -> None:  # noqa: ARG001
    """Train and judge one cell, unless it is there."""
    from pipelines.stages.train import epoch_line
    from pipelines.studies import fitting

    log = get_run_logger().info
    bench, study = _declared(root, params, size)
    cell = study.cells[number]
    epochs = cell.params.train.epochs
    fitting.compute(bench, cell, lambda e: log("%s", epoch_line(e, epochs)), keep=True)


def _declared(root: Path, params: Params, size: Size) -> Any:
    """The bench and the study, which every process makes for itself."""
    from pipelines.artifacts import Workspace
    from pipelines.studies.cell import Bench
    from pipelines.studies.crossval import design
    from pipelines.studies.ready import prepared

    workspace = Workspace(root, params.data.name)
    store = prepared(workspace, params)
    return Bench(workspace, store), design(store, params, size)


def _written_up(root: Path, params: Params, size: Size) -> str:
    """Tables and page, by the study itself, which finds every cell finished."""
    from pipelines.studies.crossval import design
    from pipelines.studies.engine import carry_out

    said = io.StringIO()
    with redirect_stdout(said):
        carry_out(root, params, design, size, keep=True, only_say=False)
    return said.getvalue().strip()
