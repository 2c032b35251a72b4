"""Test evaluations in MLflow: one run each, appended and never changed, shared by all checkouts.

Their experiment is `hgmnet-<data>-openings`. Deleted runs still count.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mlflow.entities import ViewType

from pipelines.artifacts.test_evaluations import RecordedEvaluation
from pipelines.registry.tracking_store import TrackingStore, all_runs, create_run

_ID = "hgmnet.opening_id"


def forward(
    store: TrackingStore, openings: Sequence[RecordedEvaluation]
) -> list[RecordedEvaluation]:
    """Append this checkout's evaluations missing in MLflow; return all of them, oldest first.

    `store`: opened with the name that `name_of` returns.
    """
    runs = all_runs(store, view=ViewType.ALL)
    known = {run.data.tags[_ID]: run.data.tags for run in runs if _ID in run.data.tags}
    here = dict(_identified(openings))
    for identity, opening in here.items():
        if identity not in known:
            _append(store, identity, opening)
    elsewhere = [
        RecordedEvaluation(**{k: tags[f"hgmnet.{k}"] for k in RecordedEvaluation.model_fields})
        for identity, tags in known.items()
        if identity not in here
    ]
    return sorted([*here.values(), *elsewhere], key=lambda opening: opening.when)


def count_in(store: TrackingStore, data: str, test_sha: str) -> int | None:
    """Number of evaluations of a test split in this MLflow; None where it keeps no such record."""
    found = store.client.get_experiment_by_name(f"hgmnet-{name_of(data)}")
    if found is None:
        return None
    runs = all_runs(replace(store, experiment_id=found.experiment_id), view=ViewType.ALL)
    return sum(run.data.tags.get("hgmnet.test_sha") == test_sha for run in runs)


def name_of(data: str) -> str:
    """Name to open the store with, instead of the data set's."""
    return f"{data}-openings"


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
