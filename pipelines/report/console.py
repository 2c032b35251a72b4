"""Terminal output at the end of a run: figures, gate verdict and paths."""

from collections.abc import Sequence
from pathlib import Path

from hgmnet.config.evaluation import Where
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Evaluation, Subgroup
from pipelines.artifacts.gate import CheckResult, GateResult
from pipelines.report import text

HEADLINES = ("lesion_dice", "accuracy", "served_normal_fp_rate")
"""Shown even if the gate has no check of them."""
_HEAD = ("figure", "value", "95 % interval", "bound", "verdict")


def figures_table(
    evaluation: Evaluation, gate: GateResult, subgroups: Sequence[Subgroup] = ()
) -> str:
    """Format a table of the gate's checks and the headline figures, with a title line.

    The figures are of test, or val if test was not evaluated; `subgroups`: those of the checks.
    """
    split = "val" if evaluation.test is None else "test"
    figures = evaluation.val if evaluation.test is None else evaluation.test
    checked = {check.metric for check in gate.checks if check.where is None}
    of = {Where(column=g.column, value=g.value): g.figures for g in subgroups}
    rows = [
        _HEAD,
        *(
            _row(
                text.checked(check),
                (of.get(check.where, {}) if check.where else figures).get(check.metric),
                *_judged(gate, check),
            )
            for check in gate.checks
        ),
        *(
            _row(text.title(metric), figures[metric], "–", "no check")
            for metric in HEADLINES
            if metric in figures and metric not in checked
        ),
    ]
    return "\n".join([f"{evaluation.data}, {split} split: {gate.status}", "", *text.aligned(rows)])


def details(pairs: Sequence[tuple[str, str]]) -> str:
    """Format (name, value) pairs, one aligned line per pair."""
    return "\n".join(text.aligned(pairs))


def opened(number: int | None, openings: int) -> str:
    """Format this model's evaluation number on the test split and the count of evaluations."""
    by_now = f"evaluated {openings} time{'s' * (openings != 1)} so far"
    if number is None:
        return f"{by_now}, not for this model"
    return f"{text.ordinal(number)} evaluation on this test split; {by_now}"


def rejection(gate: GateResult, run_id: str, report: Path) -> str:
    """Format the last line of a rejection: failed checks, breached clauses, run id and report."""
    failed = [_failure(check) for check in gate.checks if not check.passed]
    said = ", ".join([*failed, *map(text.outside, gate.breached)])
    return f"Rejected, not an error: {said}; recorded as run {run_id}; report at {report}"


def _judged(gate: GateResult, check: CheckResult) -> tuple[str, str]:
    """Return the bound and the verdict of a check."""
    end = ", conservative end" if check.on == "conservative" else ""
    verdict = "passed" if check.passed else "failed"
    if gate.status == "not judged":
        verdict = gate.status
    return text.asked(check) + end, verdict


def _row(
    title: str, figure: Figure | None, bound: str, verdict: str
) -> tuple[str, str, str, str, str]:
    if figure is None:
        return title, "–", "–", bound, verdict
    value, interval = text.number(figure.value), text.interval(figure)
    return title, value, interval, bound, verdict


def _failure(check: CheckResult) -> str:
    name = text.checked(check)
    if name[1:2].islower():  # not AUROC
        name = name[0].lower() + name[1:]
    if check.value is None or not check.judged:
        return f"{name} {text.absent(check)}"
    end = " (conservative end)" if check.on == "conservative" else ""
    sign = "<" if check.bound is None or check.value < check.bound else ">"
    sign = "no better than" if check.above else sign
    return f"{name}{end} {text.held(check)} {sign} {text.limit(check)}"
