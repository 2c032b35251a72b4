"""One MLflow run for each decision: each model, its figures and the verdict, also a rejection."""

import time
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Metric, Param, Run

from pipelines.openings import user
from pipelines.registry.decision import Decision
from pipelines.registry.store import Store
from pipelines.workspace import Workspace

_RECORDED = "hgmnet.recorded"
_PARAMS_A_BATCH = 100


def record(store: Store, decision: Decision) -> str:
    """Write the decision's run, or find the one that is there; its id.

    A run that was cut short is deleted and written anew. MLflow refuses to change a param, so one
    run can't serve two verdicts.
    """
    for run in _find(store, decision):
        if run.data.tags.get(_RECORDED) == "true":
            return str(run.info.run_id)
        store.client.delete_run(run.info.run_id)
    run_id = str(_start(store, decision).info.run_id)
    _log_values(store, run_id, decision)
    for file, folder in _files(decision.workspace):
        store.client.log_artifact(run_id, str(file), folder)
    store.client.set_tag(run_id, _RECORDED, "true")
    store.client.set_terminated(run_id)
    return run_id


def _find(store: Store, decision: Decision) -> list[Run]:
    names = ("hgmnet.model", "hgmnet.gate_sha256", "hgmnet.metrics_sha256")
    wanted = {name: decision.tags[name] for name in names}
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
    return list(store.client.search_runs([store.experiment_id], query))


def _start(store: Store, decision: Decision) -> Run:
    tags = {
        **decision.tags,
        "hgmnet.kind": "decision",
        "mlflow.user": user(),
        "mlflow.source.git.commit": decision.lineage.git_commit,
    }
    name = f"{decision.gate.status} {decision.model[:8]}"
    return store.client.create_run(store.experiment_id, tags=tags, run_name=name)


def _log_values(store: Store, run_id: str, decision: Decision) -> None:
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in decision.metrics.items()]
    params = [Param(name, value) for name, value in decision.flat_params.items()]
    store.client.log_batch(run_id, metrics=metrics)
    for start in range(0, len(params), _PARAMS_A_BATCH):
        store.client.log_batch(run_id, params=params[start : start + _PARAMS_A_BATCH])


def _files(workspace: Workspace) -> Iterator[tuple[Path, str | None]]:
    """The evidence and its folder in the run, the same as in the repository.

    DVC's own files are absent where a stage was run without DVC.
    """
    root, data = workspace.root, workspace.folder
    evidence = (
        *(workspace.html, workspace.model_card, workspace.gate, workspace.curves),
        *(workspace.metrics, workspace.per_image, workspace.split_csv, workspace.split_json),
        *(workspace.subgroups, workspace.opening, workspace.change_plan),
        *(root / "params.yaml", root / "dvc.lock", data / "raw.dvc", data / "dvc.lock"),
    )
    for file in filter(Path.exists, evidence):
        folder = file.parent.relative_to(root).as_posix()
        yield file, None if folder == "." else folder
    if workspace.openings.exists():
        yield workspace.openings, None
