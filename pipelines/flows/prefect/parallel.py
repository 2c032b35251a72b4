"""Run calls of one task, one after the other or in parallel on Dask."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, cast

from prefect import Task, flow
from prefect.task_runners import TaskRunner

from hgmnet.errors import ConfigError
from pipelines.flows.prefect.states import AnyState

GPU = "gpu"
"""Tag of tasks that use the GPU, for a concurrency limit on Prefect's server."""


def map_tasks(
    work: Task[..., Any], calls: Sequence[tuple[Any, ...]], workers: int, dask: str | None
) -> Iterator[AnyState]:
    """Yield the state of each call, in the order of `calls`.

    `calls`: picklable arguments. `workers`: processes on this machine; 1: this process.
    `dask`: address of a Dask scheduler whose workers see the same folders; replaces `workers`.

    Raises:
        ConfigError: Dask is requested and not installed.
    """
    if workers == 1 and not dask:
        for call in calls:
            yield cast("AnyState", work(*call, return_state=True))
        return

    @flow(name=f"{work.name} on Dask", task_runner=_runner(workers, dask))
    def together() -> list[AnyState]:
        futures = [work.submit(*call) for call in calls]
        for future in futures:
            future.wait()
        return [future.state for future in futures]

    done = cast("AnyState", together(return_state=True))
    yield from done.data if isinstance(done.data, list) else [done]


def _runner(workers: int, dask: str | None) -> TaskRunner[Any]:
    logging.getLogger("distributed").setLevel(logging.WARNING)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise ConfigError("Dask is not installed: pip install 'hgmnet[dask]'") from None
    if dask:
        return DaskTaskRunner(address=dask)
    local = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1"}
    return DaskTaskRunner(cluster_kwargs={**local, "dashboard_address": None})
