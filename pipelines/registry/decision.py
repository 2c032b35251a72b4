"""What a decision is made of: model, figures, the gate's verdict, and where they come from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hgmnet.config import Params, load_params
from hgmnet.errors import ConfigError
from hgmnet.figure import Figure
from hgmnet.models.spec import Spec, identity, load_spec
from pipelines.artifacts import Evaluation, GateResult, Workspace, read_json
from pipelines.lineage import Lineage, hash_file, read_lineage
from pipelines.openings import openings_count


@dataclass(frozen=True)
class Decision:
    """A model and the gate's verdict on it; `model` is the hash of the model folder."""

    workspace: Workspace
    params: Params
    model: str
    spec: Spec
    evaluation: Evaluation
    gate: GateResult
    gate_sha256: str
    metrics_sha256: str
    lineage: Lineage
    openings: int

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
            "openings": self.openings,
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


def read_decision(workspace: Workspace) -> Decision:
    """Read what the stages left on disk.

    Raises:
        ConfigError: it belongs to another data set than the one that params.yaml names.
        InvalidDataError: a file is missing or damaged.
    """
    gate = read_json(workspace.gate, GateResult)
    if gate.data != workspace.data:
        msg = (
            f"{workspace.gate} judges a model of {gate.data}, but params.yaml says "
            f"data.name: {workspace.data}; run `dvc repro`, not register alone"
        )
        raise ConfigError(msg)
    return Decision(
        workspace=workspace,
        params=load_params(workspace.root / "params.yaml"),
        model=identity(workspace.model),
        spec=load_spec(workspace.model),
        evaluation=read_json(workspace.metrics, Evaluation),
        gate=gate,
        gate_sha256=hash_file(workspace.gate),
        metrics_sha256=hash_file(workspace.metrics),
        lineage=read_lineage(workspace),
        openings=openings_count(workspace.openings, gate.test_sha),
    )


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
