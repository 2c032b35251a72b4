"""The flow `training`: the stages of dvc.yaml one after the other, then the registry.

DVC decides whether a stage runs, Prefect when. So nothing is cached here, nothing is retried, and
DVC's graph is not mirrored: each task asks DVC for one stage, in dvc.yaml's order, and the data
itself comes first (`-s` doesn't look behind a stage). Tasks are called, not submitted: a submitted
one hangs on SIGTERM.
"""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from hgmnet.config import load_params
from hgmnet.errors import HgmnetError
from pipelines import dvc_stage
from pipelines.flows.outcome import renewed, state_of

STAGES = (
    "ingest",
    "validate",
    "split",
    "prepare",
    "train",
    "calibrate",
    "evaluate",
    "gate",
    "report",
)
"""What is asked of DVC after the data; `register` follows without it."""


@flow
def training(root: Path) -> State[Any]:
    """Bring the model of a repository up to date with its data and params.yaml, and register it.

    Args:
        root: the repository root.

    Returns:
        Completed, or the state that `pipelines.flows.outcome.state_of` names: a rejected model
        ends in `Rejected`, which is of the type Completed.
    """
    try:
        params = load_params(root / "params.yaml")
        source = dvc_stage.source_target(root, params.data.name)
    except HgmnetError as error:
        return state_of(error)
    for target in (source, *STAGES):
        state = stage(root, target, return_state=True)
        if not state.is_completed():
            return renewed(state)
    return renewed(register(root, return_state=True))


@task(task_run_name="{target}", cache_policy=NO_CACHE)
def stage(root: Path, target: str) -> State[Any] | None:
    """Ask DVC for one stage; what it prints goes to the log, line by line."""
    try:
        dvc_stage.run(root, target, get_run_logger().info)
    except HgmnetError as error:
        return state_of(error)
    return None


@task(task_run_name="register", cache_policy=NO_CACHE, log_prints=True)
def register(root: Path) -> State[Any] | None:
    """Record the run in MLflow, and register the model if its gate passed."""
    from pipelines.stages.register import run

    try:
        params = load_params(root / "params.yaml")
        run(root, params.data, params.registry)
    except HgmnetError as error:
        return state_of(error)
    return None
