"""Test evaluations in MLflow: one run each, appended and never changed, shared by all checkouts.

Their experiment is `hgmnet-<data>-openings`. Deleted runs still count.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from mlflow.entities import ViewType

from pipelines.artifacts.test_evaluations import RecordedEvaluation
from pipelines.registry.tracking_store import (
    TrackingStore,
    all_runs,
    beside,
    create_run,
    found_beside,
)

_TOPIC = "openings"
_ID = "hgmnet.opening_id"


def forward(
    store: TrackingStore, openings: Sequence[RecordedEvaluation]
) -> list[RecordedEvaluation]:
    """Append evaluations missing in MLflow; return all of its data set, oldest first."""
    place = beside(store, _TOPIC)
    runs = all_runs(place, view=ViewType.ALL)
    known = {run.data.tags[_ID]: run.data.tags for run in runs if _ID in run.data.tags}
    here = dict(_identified(openings))
    for identity, opening in here.items():
        if identity not in known:
            _append(place, identity, opening)
    elsewhere = [
        RecordedEvaluation(**{k: tags[f"hgmnet.{k}"] for k in RecordedEvaluation.model_fields})
        for identity, tags in known.items()
        if identity not in here
    ]
    return sorted([*here.values(), *elsewhere], key=lambda opening: opening.when)


def count_in(store: TrackingStore, test_sha: str) -> int | None:
    """Number of evaluations of a test split in this MLflow; None where it keeps no such record."""
    place = found_beside(store, _TOPIC)
    if place is None:
        return None
    runs = all_runs(place, view=ViewType.ALL)
    return sum(run.data.tags.get("hgmnet.test_sha") == test_sha for run in runs)


def _identified(openings: Sequence[RecordedEvaluation]) -> Iterator[tuple[str, RecordedEvaluation]]:
    """Yield each with a reproducible id; equal ones (within a second) get different ids."""
    seen: Counter[str] = Counter()
    for opening in openings:
        line = opening.model_dump_json()
        seen[line] += 1
        yield hashlib.sha256(f"{line}\n{seen[line]}".encode()).hexdigest(), opening


def _append(store: TrackingStore, identity: str, opening: RecordedEvaluation) -> None:
    values = {f"hgmnet.{name}": value for name, value in opening.model_dump().items()}
    tags = {**values, _ID: identity, "hgmnet.kind": "opening", "mlflow.user": opening.who}
    run = create_run(store, f"{opening.when} {opening.model[:8]}", tags)
    store.client.set_terminated(run)
