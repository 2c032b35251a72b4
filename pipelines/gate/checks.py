"""The gate's judgement, pure: figures and checks in, results out. What can't be judged fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from hgmnet.config.evaluation import Check, Where
from hgmnet.errors import ConfigError
from hgmnet.metrics.bootstrap import Figure
from hgmnet.metrics.catalogue import BY_SUBGROUP, higher_is_better, known
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.gate import MISSING, CheckResult, ClauseResult

UNOPENED = "the test split was not evaluated"

Status = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True)
class Figures:
    """The figures on the test split, of all images and by subgroup; `all` None: not opened."""

    all: Mapping[str, Figure] | None
    subgroups: Sequence[Subgroup]

    def values(self, column: str) -> list[str]:
        """The values of a column that the images have."""
        return [group.value for group in self.subgroups if group.column == column]

    def of(self, where: Where | None) -> Mapping[str, Figure]:
        """The figures of a subgroup, or of all; none where no image is in it."""
        if where is None:
            return self.all or {}
        wanted = (where.column, where.value)
        found = (g.figures for g in self.subgroups if (g.column, g.value) == wanted)
        return next(found, {})


def verdict(
    figures: Figures, checks: Sequence[CheckResult], clauses: Sequence[ClauseResult]
) -> Status:
    """Passed where every check holds and no clause of the plan is breached."""
    if figures.all is None:
        return "not judged"
    inside = all(clause.status != "breached" for clause in clauses)
    return "passed" if inside and all(check.passed for check in checks) else "failed"


def validate_checks(
    checks: Sequence[Check], figures: Figures, classes: Sequence[str], at: str
) -> None:
    """Make sure that every check asks for something that can be measured.

    Args:
        checks: from `at`, which the message names.
        figures: whose subgroups say which columns there are.
        classes: of the data set.
        at: as `params.yaml, gate.checks`.

    Raises:
        ConfigError: it names a metric or a column that does not exist, or a metric that is not
            told by subgroup.
    """
    names = known(classes)
    columns = sorted({group.column for group in figures.subgroups})
    for check in checks:
        if check.metric not in names:
            told = ", ".join(names)
            raise ConfigError(f"{at}: there is no metric `{check.metric}`; there are: {told}")
        if check.subgroup is None:
            continue
        if check.metric not in BY_SUBGROUP:
            told = ", ".join(BY_SUBGROUP)
            msg = f"{at}: `{check.metric}` is not told by subgroup; these are: {told}"
            raise ConfigError(msg)
        if figures.all is not None and check.subgroup.column not in columns:
            told = ", ".join(columns) or "none"
            msg = (
                f"{at}: no column `{check.subgroup.column}` tells the test images apart; "
                f"these do: {told} (reports/evaluation/subgroups.json)"
            )
            raise ConfigError(msg)


def evaluate_check(check: Check, figures: Figures) -> CheckResult:
    """Compare one figure with its bound.

    It fails where the figure is missing, could not be computed, or rests on too few images.
    """
    figure = figures.of(check.subgroup).get(check.metric)
    value = _value(check, figure)
    reason = _refusal(check, figures, figure, value)
    passed = False
    if reason is None and value is not None:
        passed, reason = _against(check, value)
    return CheckResult(
        metric=check.metric,
        on=check.on,
        where=check.subgroup,
        min_n=check.min_n,
        bound=check.bound,
        value=value,
        n=figure.n if figure else None,
        passed=passed,
        reason=reason or MISSING,
    )


def _value(check: Check, figure: Figure | None) -> float | None:
    """The point, or the end of the interval that counts against the model; None if not finite."""
    if figure is None:
        return None
    end = figure.low if higher_is_better(check.metric) else figure.high
    value = figure.value if check.on == "point" else end
    return None if value is None or not isfinite(value) else value


def _refusal(
    check: Check, figures: Figures, figure: Figure | None, value: float | None
) -> str | None:
    """Why there is nothing to judge, if so."""
    if figures.all is None:
        return UNOPENED
    where = check.subgroup
    if where and where.value not in figures.values(where.column):
        there = ", ".join(figures.values(where.column))
        return f"no test image has {where.column} `{where.value}`; there are: {there}"
    if figure is None:
        return MISSING
    if figure.n < check.min_n:
        return f"{figure.n} images are too few, {check.min_n} are needed"
    return f"{check.metric} could not be computed" if value is None else None


def _against(check: Check, value: float) -> tuple[bool, str]:
    higher = higher_is_better(check.metric)
    passed = value >= check.bound if higher else value <= check.bound
    sign = ("≥" if passed else "<") if higher else ("≤" if passed else ">")
    return passed, f"{value:.4g} {sign} {check.bound:g}"
