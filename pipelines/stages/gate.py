"""Stage gate: hold the figures against the bounds. A verdict is a result, not a fault."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hgmnet.config import Check, Data, Gate
from hgmnet.errors import ConfigError
from hgmnet.figure import Figure
from hgmnet.metrics import higher_is_better, known
from pipelines.artifacts import (
    MISSING,
    CheckResult,
    Evaluation,
    GateResult,
    Workspace,
    read_json,
    write_json,
)


def run(root: Path, data: Data, gate: Gate) -> None:
    """Write reports/gate.json.

    Raises:
        ConfigError: a check names a metric that does not exist.
    """
    workspace = Workspace(root, data.name)
    write_json(workspace.gate, judge(read_json(workspace.metrics, Evaluation), gate, data.classes))


def judge(evaluation: Evaluation, gate: Gate, classes: Sequence[str]) -> GateResult:
    """Every check against the test figures; without them the verdict is `not judged`.

    A figure that the model does not have (accuracy, of one for segmentation alone) fails its check.

    Raises:
        ConfigError: a check names a metric that does not exist.
    """
    names = known(classes)
    for check in gate.checks:
        if check.metric not in names:
            msg = f"gate.checks: there is no metric `{check.metric}`; there are: {', '.join(names)}"
            raise ConfigError(msg)
    results = tuple(_judge(check, evaluation) for check in gate.checks)
    status: Literal["passed", "failed", "not judged"] = "not judged"
    if evaluation.test is not None:
        status = "passed" if all(result.passed for result in results) else "failed"
    return GateResult(
        data=evaluation.data,
        test_sha=evaluation.test_sha,
        status=status,
        checks=results,
    )


def _judge(check: Check, evaluation: Evaluation) -> CheckResult:
    higher = higher_is_better(check.metric)
    value = _value(check, (evaluation.test or {}).get(check.metric), higher=higher)
    if evaluation.test is None:
        passed, reason = False, "the test split was not opened"
    elif check.metric not in evaluation.test:
        passed, reason = False, MISSING
    elif value is None:
        passed, reason = False, f"{check.metric} could not be computed"
    else:
        passed = value >= check.bound if higher else value <= check.bound
        sign = ("≥" if passed else "<") if higher else ("≤" if passed else ">")
        reason = f"{value:.4g} {sign} {check.bound:g}"
    return CheckResult(
        metric=check.metric,
        on=check.on,
        bound=check.bound,
        value=value,
        passed=passed,
        reason=reason,
    )


def _value(check: Check, figure: Figure | None, *, higher: bool) -> float | None:
    """The point, or the end of the interval that counts against the model."""
    if figure is None or check.on == "point":
        return figure.value if figure else None
    return figure.low if higher else figure.high
