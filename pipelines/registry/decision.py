"""What a decision is made of: model, figures, the gate's verdict, and where they come from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hgmnet.config import Params, load_params
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.figure import Figure
from hgmnet.models.spec import Spec, identity, load_spec
from hgmnet.pccp import ChangePlans, load_plans
from pipelines.artifacts import ClauseResult, Evaluation, GateResult, Subgroups
from pipelines.clauses import openings_due
from pipelines.files import read_json
from pipelines.lineage import Lineage, hash_file, read_lineage
from pipelines.openings import Opening, opening_number
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Decision:
    """A model and the gate's verdict on it; `model` is the hash of the model folder.

    `plans`: pccp.yaml as the gate read it. `openings`: of any test split, in any checkout, oldest
    first.
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
    lineage: Lineage
    openings: tuple[Opening, ...]

    @property
    def opened(self) -> int:
        """How often this test split was opened."""
        return sum(opening.test_sha == self.gate.test_sha for opening in self.openings)

    @property
    def opening(self) -> int | None:
        """Which opening of this test split first showed it to this model."""
        return opening_number(self.openings, self.gate.test_sha, self.model)

    @property
    def due(self) -> tuple[ClauseResult, ...]:
        """The clauses of the plan that ask for a new validation."""
        plan = self.plans.plans.get(self.gate.registry)
        if plan is None:
            return self.gate.due
        looks = openings_due(plan, self.opened)
        return (*self.gate.due, *([looks] if looks.status == "due" else []))

    @property
    def tags(self) -> dict[str, str]:
        """What a run or a version is found and traced by, each name beginning with `hgmnet.`."""
        plain = {
            "data": self.gate.data,
            "model": self.model,
            "fingerprint": self.spec.fingerprint,
            "gate": self.gate.status,
            "gate_sha256": self.gate_sha256,
            "metrics_sha256": self.metrics_sha256,
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
        """Every figure as `<split>/<name>`, with its interval as `..._low` and `..._high`."""
        parts = {
            "val": self.evaluation.val,
            "test": self.evaluation.test or {},
            "baseline": self.evaluation.baselines,
        }
        return {
            f"{part}/{name}{end}": value
            for part, figures in parts.items()
            for name, figure in figures.items()
            for end, value in _ends(figure)
            if value is not None
        }

    @property
    def flat_params(self) -> dict[str, str]:
        """params.yaml with dotted keys; a list is one value, as JSON."""
        return dict(_flatten("", self.params.model_dump(mode="json", by_alias=True)))


def read_decision(workspace: Workspace, openings: Sequence[Opening]) -> Decision:
    """Read what the stages left on disk.

    Args:
        workspace: where it lies.
        openings: all that are known.

    Raises:
        ConfigError: it belongs to another data set, registered model or change plan than those that
            stand there now.
        InvalidDataError: a file is missing or damaged, or the figures are of another model.
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
        lineage=read_lineage(workspace),
        openings=tuple(openings),
    )


def _refuse_stale(workspace: Workspace, gate: GateResult, params: Params) -> None:
    now = "run `dvc repro`, not register alone"
    if gate.data != workspace.data:
        msg = (
            f"{workspace.gate} judges a model of {gate.data}, but params.yaml says "
            f"data.name: {workspace.data}; {now}"
        )
        raise ConfigError(msg)
    if gate.registry != params.registry.name:
        msg = (
            f"{workspace.gate} holds the model to the plan of {gate.registry}, but params.yaml "
            f"says registry.name: {params.registry.name}; {now}"
        )
        raise ConfigError(msg)
    if gate.plan_sha256 != hash_file(workspace.change_plan):
        raise ConfigError(f"{workspace.change_plan} was changed since the gate read it; {now}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ends(figure: Figure) -> tuple[tuple[str, float | None], ...]:
    return ("", figure.value), ("_low", figure.low), ("_high", figure.high)


def _flatten(prefix: str, tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else _text(value)
