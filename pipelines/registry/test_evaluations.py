"""Openings in MLflow: a run each, appended and never changed, so that all checkouts count together.

They lie in an experiment of their own, `hgmnet-<data>-openings`. Deleted runs still count.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from mlflow.entities import Run, ViewType

from pipelines.artifacts.test_evaluations import RecordedEvaluation
from pipelines.registry.tracking_store import TrackingStore, all_runs

_ID = "hgmnet.opening_id"


def forward(
    store: TrackingStore, openings: Sequence[RecordedEvaluation]
) -> list[RecordedEvaluation]:
    """Append the openings that MLflow does not have; all that it then has, oldest first.

    Args:
        store: opened at the experiment of openings, see `name_of`.
        openings: this checkout's.
    """
    runs = all_runs(store, view=ViewType.ALL)
    known = {run.data.tags[_ID]: run for run in runs if _ID in run.data.tags}
    here = dict(_identified(openings))
    for identity, opening in here.items():
        if identity not in known:
            _append(store, identity, opening)
    elsewhere = [_read(run) for identity, run in known.items() if identity not in here]
    return sorted([*here.values(), *elsewhere], key=lambda opening: opening.when)


def name_of(data: str) -> str:
    """What `open_tracking_store` is asked for, in the data set's place."""
    return f"{data}-openings"


def _identified(openings: Sequence[RecordedEvaluation]) -> Iterator[tuple[str, RecordedEvaluation]]:
    """Each with a name that is the same every time; equal ones (within a second) are told apart."""
    seen: Counter[str] = Counter()
    for opening in openings:
        line = opening.model_dump_json()
        seen[line] += 1
        yield hashlib.sha256(f"{line}\n{seen[line]}".encode()).hexdigest(), opening


def _append(store: TrackingStore, identity: str, opening: RecordedEvaluation) -> None:
    told = {f"hgmnet.{name}": value for name, value in opening.model_dump().items()}
    tags = {**told, _ID: identity, "hgmnet.kind": "opening", "mlflow.user": opening.who}
    name = f"{opening.when} {opening.model[:8]}"
    run = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    store.client.set_terminated(run.info.run_id)


def _read(run: Run) -> RecordedEvaluation:
    return RecordedEvaluation(
        **{name: run.data.tags[f"hgmnet.{name}"] for name in RecordedEvaluation.model_fields}
    )
