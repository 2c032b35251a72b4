"""The flow `promotion`: `hgmnet promote`, with a pause where a person must decide.

It imports torch and MLflow only when it runs: `prefect deploy` loads every flow.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL
from prefect.states import Completed, Running
from pydantic import Field

from hgmnet.errors import HgmnetError, RejectedError, redact_credentials
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.states import AnyState, propagate, state_of

if TYPE_CHECKING:
    from pipelines.promotion.comparison import VersionComparator
    from pipelines.promotion.promote import PromotionOutcome


class Approval(RunInput):
    """A person's decision in Prefect's form; name and reason are kept in the history."""

    approve: bool = Field(default=False, description="let the version serve")
    by: str = Field(min_length=2, description="who answers for it")
    reason: str = Field(min_length=3, description="why")


@flow(flow_run_name=artifacts.run_name, **notifications.HOOKS)
def promotion(
    root: Path, version: str | None = None, data: str | None = None, approval_hours: float = 72.0
) -> AnyState:
    """Compare a challenger with the champion, and promote it if it is better.

    Where a person must decide, the run pauses and Prefect's page shows a form: approve or not, name
    and reason. Without an answer in time nothing changes.

    Args:
        root: the repository root.
        version: number of the version to compare; default: the challenger.
        data: compare on all images of this data set instead of the test split.
        approval_hours: hours to wait for a person; 0: do not wait.

    Returns:
        Completed where the version serves; `Rejected` where it does not; else Failed, with its
        reason.
    """
    compared = compare(root, version, data, return_state=True)
    if not compared.is_completed():
        return propagate(compared)
    comparer, outcome, shown = cast(
        "tuple[VersionComparator, PromotionOutcome, str]", compared.result()
    )
    if outcome.open and approval_hours > 0:
        outcome = _asked(comparer, outcome, shown, approval_hours)
    decided = decide(comparer, outcome, return_state=True)
    return propagate(decided) if not decided.is_completed() else _ended(comparer, outcome)


@task(task_run_name="compare", cache_policy=NO_CACHE)
def compare(
    root: Path, version: str | None, data: str | None
) -> "tuple[VersionComparator, PromotionOutcome, str] | AnyState":
    """Compare the versions, and show their differences as Markdown; no alias is moved."""
    from pipelines.promotion.promote import Request, open_comparer, propose
    from pipelines.promotion.text import format_promotion, markdown
    from pipelines.registry.aliases import registry_state
    from pipelines.registry.tracking_store import http_limits

    try:
        comparer = open_comparer(root, data)
        name = comparer.params.registry.name
        with http_limits(timeout_s=120, retries=3):
            outcome = propose(comparer, registry_state(comparer.store, name), Request(version))
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("%s", "\n".join(format_promotion(name, outcome)))
    shown = markdown(name, outcome, _facts(comparer, outcome))
    create_markdown_artifact(shown, key=f"promotion-{name}".lower())
    return comparer, outcome, shown


def _facts(comparer: "VersionComparator", outcome: "PromotionOutcome") -> list[str]:
    """Doubts about the version, and links to its page and run, one line of Markdown each."""
    from pipelines.registry.evidence import PAGE
    from pipelines.registry.tracking_store import store_errors_as_messages
    from pipelines.version_page.page import write_page

    store, number = comparer.store, outcome.resolve.version
    space = comparer.workspace
    try:
        with store_errors_as_messages(space.root):
            page = write_page(store, comparer.params, space, number, None)
    except (HgmnetError, OSError) as error:
        return [f"No page about version {number}: {error}"]
    run = f"{redact_credentials(store.uri)}/#/experiments/{store.experiment_id}/runs/{page.run_id}"
    links = [f"Page to sign: {page.path}", f"MLflow run: {page.run_id}"]
    if store.uri.startswith("http"):
        links = [f"[Page to sign]({run}/artifacts/{PAGE})", f"[MLflow run]({run})"]
    doubts = [f"Doubt: {doubt}" for doubt in page.doubts] or ["No doubt was found."]
    return [*doubts, *links]


@task(task_run_name="decide", cache_policy=NO_CACHE)
def decide(comparer: "VersionComparator", outcome: "PromotionOutcome") -> AnyState | None:
    """Record the decision, and move the aliases."""
    from pipelines.promotion.promote import apply_decision
    from pipelines.registry.tracking_store import http_limits

    try:
        with http_limits(timeout_s=120, retries=3):
            link = apply_decision(comparer, outcome)
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("History: decision %d, head %s", link.number, link.hash)
    if outcome.promoted:
        name, version = comparer.params.registry.name, outcome.resolve.version
        emit_event(
            "hgmnet.champion.changed",
            resource={"prefect.resource.id": f"hgmnet.model.{name}"},
            payload={"version": version, "before": outcome.now.champion, "head": link.hash},
        )
        body = f"{outcome.resolve.reason}\nHistory: decision {link.number}, head {link.hash}"
        subject = f"{name} version {version} serves from now on"
        notifications.send(comparer.workspace.root, subject, body)
    return None


def _asked(
    comparer: "VersionComparator", outcome: "PromotionOutcome", shown: str, hours: float
) -> "PromotionOutcome":
    """Wait up to `hours` for a person's decision, and return the outcome."""
    from pipelines.promotion.promote import Request, approve

    name, version = comparer.params.registry.name, outcome.resolve.version
    asked = Approval.with_initial_data(description=shown)
    page = f"{PREFECT_UI_URL.value()}/runs/flow-run/{flow_run.id}"
    get_run_logger().info("A person must decide, at %s", page)
    subject = f"{name} version {version} waits for a person"
    notifications.send(comparer.workspace.root, subject, f"{outcome.resolve.reason}\n{page}")
    try:
        said = pause_flow_run(asked, timeout=max(1, round(hours * 3600)), poll_interval=2)
    except FlowPauseTimeout:
        # running again: from a pause that has timed out Prefect only lets a run fail
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(flow_run.id), Running(), force=True)
        get_run_logger().info("Nobody has decided within %g hours", hours)
        return outcome
    if said.approve:
        return approve(comparer, outcome, Request(approved=True, reason=said.reason, by=said.by))
    return outcome.declined(said.by, said.reason)


def _ended(comparer: "VersionComparator", outcome: "PromotionOutcome") -> AnyState:
    name = comparer.params.registry.name
    if outcome.refused:
        return state_of(RejectedError(f"{name} {outcome.refused}"))
    return Completed(message=f"{name} version {outcome.resolve.version}: {outcome.resolve.reason}")
