"""Flow runs that ended long ago."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

_ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]


def old_runs(days: float) -> list[UUID]:
    """Ids of the flow runs that ended more than `days` ago."""
    before = datetime.now(UTC) - timedelta(days=days)
    wanted = FlowRunFilter(
        end_time=FlowRunFilterEndTime(before_=before),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ENDED)),
    )
    found: list[UUID] = []
    with get_client(sync_client=True) as client:
        while page := client.read_flow_runs(flow_run_filter=wanted, limit=200, offset=len(found)):
            found += [run.id for run in page]
    return found


def remove(runs: list[UUID]) -> None:
    """Delete flow runs with their logs."""
    with get_client(sync_client=True) as client:
        for run in runs:
            client.delete_flow_run(run)
