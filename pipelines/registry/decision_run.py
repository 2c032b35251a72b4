"""A gate decision, passed or rejected, and its MLflow run: model, figures, verdict."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run

from hgmnet.config.change_plan import ChangePlans, load_plans
from hgmnet.config.data_card import load_data_card
from hgmnet.config.params import Params, load_params
from hgmnet.config.risks import load_risks
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.models.spec import Spec, identity, load_spec
from pipelines.artifacts.evaluation import Evaluation, Subgroups
from pipelines.artifacts.gate import ClauseResult, GateResult
from pipelines.artifacts.io import read_json
from pipelines.artifacts.lineage import Lineage, hash_file, read_lineage
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import RecordedEvaluation, opening_number, user
from pipelines.gate.change_plan import openings_due
from pipelines.gate.result import judge
from pipelines.registry.data_sets import log_data_sets
from pipelines.registry.evidence import freeze
from pipelines.registry.tracking_store import (
    TrackingStore,
    all_runs,
    create_run,
    log_metrics,
    log_params,
)


@dataclass(frozen=True)
class Decision:
    """A model and the gate's verdict on it; `model` is the hash of the model folder.

    `plans`: pccp.yaml as the gate read it. `openings`: evaluations of any test split, oldest
    first, from all checkouts. `experiment`: name of the model's DVC experiment; empty for none.
    """

    workspace: Workspace
    params: Params
    model: str
    spec: Spec
    evaluation: Evaluation
    subgroups: Subgroups
    gate: GateResult
    plans: ChangePlans
    gate_sha256: str
    metrics_sha256: str
    per_image_sha256: str
    lineage: Lineage
    openings: tuple[RecordedEvaluation, ...]
    experiment: str

    @property
    def opened(self) -> int:
        """Number of evaluations of this test split."""
        return sum(opening.test_sha == self.gate.test_sha for opening in self.openings)

    @property
    def opening(self) -> int | None:
        """Number (from 1) of this model's first evaluation on this test split; None: never."""
        return opening_number(self.openings, self.gate.test_sha, self.model)

    @property
    def due(self) -> tuple[ClauseResult, ...]:
        """The clauses of the plan that require a new validation."""
        plan = self.plans.plans.get(self.gate.registry)
        if plan is None:
            return self.gate.due
        looks = openings_due(plan, self.opened)
        return (*self.gate.due, *([looks] if looks.status == "due" else []))

    @property
    def tags(self) -> dict[str, str]:
        """Tags that identify and trace a run or a version; each name begins with `hgmnet.`."""
        plain = {
            "data": self.gate.data,
            "model": self.model,
            "fingerprint": self.spec.fingerprint,
            "gate": self.gate.status,
            "gate_sha256": self.gate_sha256,
            "metrics_sha256": self.metrics_sha256,
            "per_image_sha256": self.per_image_sha256,
            "test_sha": self.gate.test_sha,
            "openings": self.opened,
            "opening": self.opening or "none",
            "pccp_sha256": self.gate.plan_sha256,
            "revalidate": ", ".join(clause.clause for clause in self.due) or "no",
            **self.lineage.model_dump(mode="json"),
        }
        return {f"hgmnet.{name}": _text(value) for name, value in plain.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """Figures as `val/`, `test/` or `baseline/<name>`; intervals as `..._low`, `..._high`."""
        known = self.evaluation
        parts = {"val": known.val, "test": known.test or {}, "baseline": known.baselines}
        return {
            f"{part}/{name}{end}": value
            for part, figures in parts.items()
            for name, figure in figures.items()
            for end, value in (("", figure.value), ("_low", figure.low), ("_high", figure.high))
            if value is not None
        }


def read_decision(workspace: Workspace, experiment: str = "") -> Decision:
    """Read the stages' outputs; `experiment`: as in `Decision`, whose `openings` are left empty.

    Raises:
        ConfigError: the gate used another data set, model name or change plan than the evaluation;
            data card or risks are damaged.
        InvalidDataError: a file is missing or damaged, or the figures or the verdict are not those
            of this model and these files.
    """
    gate = read_json(workspace.gate, GateResult)
    params = load_params(workspace.root / "params.yaml")
    plans = load_plans(workspace.change_plan)
    _refuse_stale(workspace, gate, params)
    model = identity(workspace.model)
    evaluation = read_json(workspace.metrics, Evaluation)
    if evaluation.model != model:
        raise InvalidDataError(
            f"{workspace.model} is not the model that was evaluated ({evaluation.model[:12]}, "
            f"now {model[:12]}): a file was changed, or damaged in DVC's cache; dvc repro -f train"
        )
    _refuse_foreign(workspace, gate, params)
    load_data_card(workspace.data_card)  # frozen with the evidence: a mistake in it would stay
    load_risks(workspace.risks)
    return Decision(
        workspace=workspace,
        params=params,
        model=model,
        spec=load_spec(workspace.model),
        evaluation=evaluation,
        subgroups=read_json(workspace.subgroups, Subgroups),
        gate=gate,
        plans=plans,
        gate_sha256=hash_file(workspace.gate),
        metrics_sha256=hash_file(workspace.metrics),
        per_image_sha256=hash_file(workspace.per_image),
        lineage=read_lineage(workspace),
        openings=(),
        experiment=experiment,
    )


def _refuse_stale(workspace: Workspace, gate: GateResult, params: Params) -> None:
    now = "run `dvc repro`, not register alone"
    if gate.data != workspace.data:
        raise ConfigError(
            f"{workspace.gate} is on a model of {gate.data}, but params.yaml has "
            f"data.name: {workspace.data}; {now}"
        )
    if gate.registry != params.registry.name:
        raise ConfigError(
            f"{workspace.gate} applies the plan of {gate.registry}, but params.yaml has "
            f"registry.name: {params.registry.name}; {now}"
        )
    if gate.plan_sha256 != hash_file(workspace.change_plan):
        raise ConfigError(f"{workspace.change_plan} was changed since the gate read it; {now}")


def _refuse_foreign(workspace: Workspace, gate: GateResult, params: Params) -> None:
    """Raise InvalidDataError unless the gate, judging again, comes to the verdict in gate.json."""
    now = judge(workspace, params.data, params.gate, params.registry)
    if now == gate:
        return
    changed = sorted({name for name, _ in now.files.items() ^ gate.files.items()})
    raise InvalidDataError(
        f"{workspace.gate} ({gate.status}) is not the verdict on this model, its figures and "
        f"params.yaml ({now.status}); changed: {', '.join(changed) or 'status, checks or clauses'};"
        " run `dvc repro`, not register alone"
    )


def refuse_uncounted(decision: Decision) -> None:
    """Raise InvalidDataError for test figures of an evaluation that is counted nowhere.

    Call it when `decision.openings` are those of all checkouts.
    """
    if decision.evaluation.test is not None and decision.opening is None:
        raise InvalidDataError(
            f"{decision.workspace.metrics} has figures of the test split, but no evaluation of "
            f"this model ({decision.model[:12]}) on it is counted, neither in "
            f"{decision.workspace.openings} nor in MLflow; evaluate it again, which is counted: "
            "dvc repro -f -s evaluate, then dvc repro"
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flatten(prefix: str, tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield nested settings with dotted keys; a list is one value, as JSON."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else _text(value)


_RECORDED = "hgmnet.recorded"


def record(store: TrackingStore, decision: Decision) -> str:
    """Write the decision's MLflow run, or find the existing one; return its id.

    A run that was cut short is deleted and rewritten. MLflow refuses to change a param, so one
    run can't serve two verdicts.
    """
    for run in _find(store, decision):
        if run.data.tags.get(_RECORDED) == "true":
            return str(run.info.run_id)
        store.client.delete_run(run.info.run_id)
    run_id = _start(store, decision)
    test = decision.gate.test_sha
    log_data_sets(store, run_id, decision.workspace, decision.lineage, test)
    log_metrics(store, run_id, decision.metrics)
    settings = decision.params.model_dump(mode="json", by_alias=True, exclude=_elsewhere(decision))
    log_params(store, run_id, dict(_flatten("", settings)))
    freeze(store, decision.workspace, run_id, decision.tags)
    if decision.workspace.openings.exists():
        store.client.log_artifact(run_id, str(decision.workspace.openings))
    store.client.set_tag(run_id, _RECORDED, "true")
    store.client.set_terminated(run_id)
    return run_id


def _elsewhere(decision: Decision) -> set[str]:
    """Sections of params.yaml that made neither the model nor the verdict."""
    return {"promotion", "flow"} | ({"phantom"} - {decision.gate.data})


def _find(store: TrackingStore, decision: Decision) -> list[Run]:
    names = ("hgmnet.model", "hgmnet.gate_sha256", "hgmnet.metrics_sha256")
    wanted = {name: decision.tags[name] for name in names} | _kind(decision)
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
    return all_runs(store, query)


def _start(store: TrackingStore, decision: Decision) -> str:
    tags = {
        **decision.tags,
        **_kind(decision),
        "mlflow.user": user(),
        "mlflow.source.git.commit": decision.lineage.git_commit,
        "mlflow.source.name": "hgmnet stage register",
        "mlflow.note.content": _note(decision),
    }
    query = f"tags.`hgmnet.fingerprint` = '{decision.spec.fingerprint}' and "
    for training in all_runs(store, query + "tags.`hgmnet.kind` = 'training'")[:1]:
        tags["mlflow.parentRunId"] = training.info.run_id
    name = f"{decision.gate.status} {decision.model[:8]}"
    if decision.experiment:
        name = f"experiment {decision.experiment}, {decision.gate.status}"
    return create_run(store, name, tags)


def _note(decision: Decision) -> str:
    """Say in Markdown what the run is, for MLflow's page."""
    gate = decision.gate
    return (
        f"The gate's verdict on model `{decision.model[:12]}` of {gate.data}: **{gate.status}**. "
        "Its evidence is under Artifacts; the training is the parent run, if MLflow was there."
    )


def _kind(decision: Decision) -> dict[str, str]:
    """The tags that distinguish an experiment's run from others."""
    if decision.experiment:
        return {"hgmnet.kind": "experiment", "hgmnet.experiment": decision.experiment}
    return {"hgmnet.kind": "decision"}
