"""The flow `training`: the stages of dvc.yaml one after the other, then the registry.

DVC decides whether a stage runs, Prefect when. So nothing is cached here, only network tasks are
retried, and DVC's graph is not mirrored: each task runs one stage with DVC, in dvc.yaml's order,
after the data's own target (`-s` ignores a stage's upstream). Tasks are called, not submitted: a
submitted one hangs on SIGTERM.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from pydantic import WithJsonSchema

from hgmnet.config.operation import Stage
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError, RejectedError
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.parallel import GPU
from pipelines.flows.prefect.states import AnyState, propagate, state_of
from pipelines.flows.promotion import promotion
from pipelines.operations import experiments
from pipelines.operations.run_overrides import alone, with_profile
from pipelines.system import dvc
from pipelines.system.git import git

STAGES: tuple[Stage, ...] = get_args(Stage)
_PROFILES = sorted(file.stem for file in Path("profiles").glob("*.yaml"))
Profile = Annotated[
    str, WithJsonSchema({"type": "string"} | ({"enum": _PROFILES} if _PROFILES else {}))
]
"""One of profiles/, which Prefect's form lists."""
_ON_GPU = ("train", "calibrate", "evaluate")
_RETRIED: Any = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(10),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": lambda task, run, state: state.name == "Failed",  # noqa: ARG005
}
"""Network tasks are retried after about 10, 20 and 40 s, with jitter; a state with another name,
such as Rejected or Configuration, is a result."""


@flow(flow_run_name=artifacts.run_name, **notifications.HOOKS)
def training(
    root: Path,
    *,
    profile: Profile | None = None,
    overrides: dict[str, Any] | None = None,
    force_stage: Stage | None = None,
    publish: bool = False,
    promote: bool = False,
    approval_hours: float = 0.0,
) -> AnyState:
    """Update a repository's model for its data and settings, and register it.

    Args:
        root: the repository root.
        profile: name of a file in profiles/ whose settings are used for this run alone.
        overrides: other values for this run alone, by dotted key: {"train.epochs": 3}. The run is
            then a DVC experiment: recorded, but not registered, published or promoted.
        force_stage: run this stage even if nothing has changed, and the stages whose inputs it
            changes.
        publish: then push images and weights to DVC's remote, commit dvc.lock and split on a
            separate branch, and tag the commit (`hgmnet publish` does it later).
        promote: then compare the challenger with the champion, unless that was done before.
        approval_hours: hours to wait where a person must decide; 0: do not wait, `hgmnet promote
            --approve` can do it later.

    Returns:
        Completed, or the state of `pipelines.flows.prefect.states.state_of`: `Rejected` for a
        rejected model or one that is not promoted.
    """
    try:
        with alone(root, "a training flow"), with_profile(root, None if overrides else profile):
            if overrides:
                return propagate(_experiment(root, profile, overrides, force_stage))
            state = _model(root, force_stage)
            if publish and _went_well(state):
                state = publish_(root, return_state=True)
            if promote and _went_well(state) and (version := newcomer(root)):
                state = promotion(root, version, None, approval_hours, return_state=True)
            return propagate(state)
    except HgmnetError as error:
        return state_of(error)


def _went_well(state: AnyState) -> bool:
    return state.is_completed() and state.name == "Completed"


def _model(root: Path, forced: Stage | None) -> AnyState:
    """Run every stage, then register."""
    data = load_params(root / "params.yaml").data.name
    state = _data(root, data)
    if _went_well(state):
        state = _stages(root, STAGES, forced)
    locks = ["dvc.lock", f"data/{data}"]
    if git(root, "status", "--porcelain", "--", *locks, allowed=(0, 128)):
        get_run_logger().info("To track the changes with git: git add %s", " ".join(locks))
    return register(root, return_state=True) if _went_well(state) else state


def _experiment(
    root: Path, profile: str | None, overrides: dict[str, Any], forced: Stage | None
) -> AnyState:
    """Run every stage with other settings in a copy; record it in DVC and MLflow."""
    get_run_logger().info("An experiment: it will not be registered, published or promoted")
    text, params = experiments.settings(root, profile, overrides)
    source = dvc.source_target(root, params.data.name)
    if source.endswith(".dvc"):
        state = _data(root, params.data.name)
        if not _went_well(state):
            return state
    with experiments.copied(root, text, params) as copy:
        state = _stages(copy, (source, *STAGES), forced)
        if _went_well(state):
            name = experiments.record(root, copy, get_run_logger().info)
            state = register(copy, name, return_state=True)
    return state


def _data(root: Path, name: str) -> AnyState:
    """Pull the images if there is a remote, and update DVC's record of them."""
    source = dvc.source_target(root, name)
    if dvc.has_remote(root) and source.endswith(".dvc"):
        pulled = pull(root, source, return_state=True)
        if not pulled.is_completed():
            return pulled
    return stage(root, source, return_state=True)


def _stages(root: Path, targets: Sequence[str], forced: Stage | None) -> AnyState:
    """Run the targets until one fails; return the last state."""
    for target in targets:
        task_ = stage.with_options(tags=[GPU]) if target in _ON_GPU else stage
        state = task_(root, target, force=target == forced, return_state=True)
        if not state.is_completed():
            break
    return state


@task(task_run_name="pull", cache_policy=NO_CACHE, **_RETRIED)
def pull(root: Path, target: str) -> None:
    """Fetch missing images from DVC's remote."""
    limit_s = load_params(root / "params.yaml").flow.limit_s("pull")
    dvc.call(root, ["pull", target], get_run_logger().info, limit_s)


@task(task_run_name="{target}", cache_policy=NO_CACHE)
def stage(root: Path, target: str, force: bool = False) -> AnyState | None:
    """Run one stage with DVC; its output goes to the log, line by line."""
    log, look = get_run_logger().info, artifacts.progress("training-progress")

    def on_line(line: str) -> None:
        log("%s", line)
        if target == "train":
            look(line)

    try:
        limit_s = load_params(root / "params.yaml").flow.limit_s(target)
        dvc.run(root, target, on_line, force=force, limit_s=limit_s)
    except HgmnetError as error:
        return state_of(error)
    return None


@task(task_run_name="register", cache_policy=NO_CACHE, **_RETRIED)
def register(root: Path, experiment: str = "") -> AnyState | None:
    """Record the run in MLflow; register the model if its gate passed, except an experiment's.

    If the server does not answer, the task is retried; nothing is trained again.
    """
    from pipelines.registry.tracking_store import TrackingStoreUnavailableError
    from pipelines.stages.register import record_and_register

    try:
        params = load_params(root / "params.yaml")
        done = record_and_register(root, params.data, params.registry, experiment)
    except TrackingStoreUnavailableError:
        raise
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("%s", done.text)
    artifacts.text_artifact(f"result-{params.data.name}", done.text)
    return state_of(RejectedError(done.rejection)) if done.rejection else None


@task(task_run_name="publish", cache_policy=NO_CACHE, **_RETRIED)
def publish_(root: Path) -> AnyState | None:
    """Push images and weights, commit dvc.lock and split on a separate branch, and tag it."""
    from pipelines.operations.publishing import publish
    from pipelines.registry.tracking_store import TrackingStoreUnavailableError

    log = get_run_logger().info
    try:
        limit_s = load_params(root / "params.yaml").flow.limit_s("publish")
        done = publish(root, log, limit_s)
    except TrackingStoreUnavailableError:
        raise
    except ConfigError as error:
        return state_of(error)
    log("Published: %s, commit %s on %s", done.tag, done.commit[:7], done.branch)
    return None


@task(task_run_name="newcomer", cache_policy=NO_CACHE)
def newcomer(root: Path) -> str:
    """Version of the model on disk, if it was not yet compared with the champion."""
    from pipelines.promotion import promote as rule

    return rule.uncompared_challenger(rule.open_comparer(root, None))
