"""The flow `monitoring`: have recent images drifted from the champion's training images?"""

import time
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.states import Completed

from hgmnet.config.change_plan import load_plans
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError
from pipelines.artifacts.gate import ClauseResult
from pipelines.artifacts.paths import Workspace
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.parallel import GPU
from pipelines.flows.prefect.states import AnyState, propagate, state_of
from pipelines.gate.change_plan import SERVED_CLAUSE, age_due, drift_due, served_due

Found = tuple[tuple[str, ...], tuple[ClauseResult, ...]]
"""The columns that drifted, and the clauses of the change plan that are due."""


@flow(flow_run_name=artifacts.run_name, **notifications.HOOKS)
def monitoring(
    root: Path,
    folder: Path,
    version: str | None = None,
    log: Path | None = None,
    labels: Path | None = None,
) -> AnyState:
    """Compare a folder of recent images with the champion's training images.

    Each image is measured, and predicted by the champion; reports/drift.json and Great
    Expectations' pages show what differs. The event `hgmnet.data.drifted` can start a training;
    `hgmnet.model.revalidate` means that the change plan requires a new validation.

    Args:
        root: the repository root.
        folder: recent images, also in subfolders.
        version: number of the version to compare with; default: the champion.
        log: the log of served answers, to be evaluated on `labels`; default: none.
        labels: a table of labels that are known by now, as for `hgmnet score-served`.

    Returns:
        Completed, named `Drifted` where the images differ; else Failed, with its reason.
    """
    if bool(log) != bool(labels):
        return state_of(ConfigError("log and labels: expected both, or neither"))
    served = (log, labels) if log and labels else None
    done = profile(root, folder, version, served, return_state=True)
    if not done.is_completed():
        return propagate(done)
    drifted, due = cast("Found", done.result())
    params = load_params(root / "params.yaml")
    if drifted:
        found = {"columns": list(drifted), "folder": str(folder)}
        _emit("hgmnet.data.drifted", f"hgmnet.data.{params.data.name}", found)
    for clause in due:
        get_run_logger().warning("%s: %s", clause.clause, clause.reason)
        found = {"clause": clause.clause, "reason": clause.reason}
        _emit("hgmnet.model.revalidate", f"hgmnet.model.{params.registry.name}", found)
    if drifted:
        return Completed(name="Drifted", message=f"drifted in {', '.join(drifted)}")
    return Completed(message="no drift")


@task(task_run_name="profile", tags=[GPU], cache_policy=NO_CACHE)
def profile(
    root: Path, folder: Path, version: str | None, served: tuple[Path, Path] | None
) -> Found | AnyState:
    """Measure and predict the images; return the drifted columns and the due clauses."""
    from hgmnet.evaluation.served import ALL, read_labels, score_served, table
    from hgmnet.prediction.answer_log import AnswerLog
    from pipelines.drift.report import profile_folder, report_lines
    from pipelines.registry.loading import load_version
    from pipelines.registry.tracking_store import connect_with_retries
    from pipelines.registry.versions import find_version, record_monitoring

    try:
        params = load_params(root / "params.yaml")
        name, workspace = params.registry.name, Workspace(root, params.data.name)
        store = connect_with_retries(root, params.data.name)
        found = load_version(store, name, version, workspace.versions)
        report = profile_folder(root, folder, found.folder)
        plan = load_plans(root / "pccp.yaml").plans.get(name)
        made = find_version(store, name, found.number).creation_timestamp
        scored = score_served(AnswerLog(served[0]), read_labels(served[1])) if served else ()
    except HgmnetError as error:
        return state_of(error)
    ours = f"{name} version {found.number}"
    figures = next((s.figures for s in scored if (s.version, s.month) == (ours, ALL)), {})
    days = (time.time() - made / 1000) / 86_400
    asked: tuple[ClauseResult, ...] = ()
    if plan:
        sensitivity = figures.get("served_sensitivity_malignant")
        later = served_due(plan, sensitivity) if served else ()
        asked = (*drift_due(plan, report), age_due(plan, days), *later)
    due = tuple(clause for clause in asked if clause.status == "due")
    outcome = f"drifted in {', '.join(report.drifted)}" if report.drifted else "no drift"
    reasons = [clause.reason for clause in asked if clause.clause == SERVED_CLAUSE]
    summary = "; ".join([f"{report.source}: {outcome}", *reasons])
    record_monitoring(store, name, found.number, summary)
    lines = [ours, "", *report_lines(report), *(c.reason for c in due), *reasons]
    lines += ["", *table(scored)] if scored else []
    get_run_logger().info("%s", "\n".join(lines))
    artifacts.text_artifact(f"monitoring-{params.data.name}", "\n".join(lines))
    return report.drifted, due


def _emit(event: str, resource: str, payload: dict[str, Any]) -> None:
    emit_event(event, resource={"prefect.resource.id": resource}, payload=payload)
