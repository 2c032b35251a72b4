"""Evaluate the gate's checks on figures; a check that can't be evaluated fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from hgmnet.config.base import NORMAL
from hgmnet.config.evaluation import Check, Where
from hgmnet.errors import ConfigError
from hgmnet.metrics.bootstrap import Figure
from hgmnet.metrics.catalogue import BY_SUBGROUP, higher_is_better, known, metric
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.gate import MISSING, CheckResult, ClauseResult

UNOPENED = "the test split was not evaluated"

Status = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True)
class Figures:
    """Figures on the test split, of all images and by subgroup; `all` None: not evaluated.

    `baselines`: figures of predictors without image content, named `<baseline>_<metric>`.
    """

    all: Mapping[str, Figure] | None
    subgroups: Sequence[Subgroup]
    baselines: Mapping[str, Figure] = field(default_factory=dict)

    def values(self, column: str) -> list[str]:
        """Return the values of a column among the images."""
        return [group.value for group in self.subgroups if group.column == column]

    def of(self, where: Where | None) -> Mapping[str, Figure]:
        """Return the figures of a subgroup, or of all images; empty for an empty subgroup."""
        if where is None:
            return self.all or {}
        wanted = (where.column, where.value)
        found = (g.figures for g in self.subgroups if (g.column, g.value) == wanted)
        return next(found, {})


def verdict(
    figures: Figures, checks: Sequence[CheckResult], clauses: Sequence[ClauseResult]
) -> Status:
    """Return the gate's status: checks and clauses combined; `not judged` without test figures."""
    if figures.all is None:
        return "not judged"
    inside = all(clause.status != "breached" for clause in clauses)
    return "passed" if inside and all(check.passed for check in checks) else "failed"


def validate_checks(
    checks: Sequence[Check], figures: Figures, classes: Sequence[str], at: str
) -> None:
    """Check that every check of `at`, such as `params.yaml, gate.checks`, can be evaluated.

    Raises:
        ConfigError: a metric or column does not exist, or a metric is not computed per subgroup.
    """
    names = known(classes)
    columns = sorted({group.column for group in figures.subgroups})
    for check in checks:
        if check.metric not in names:
            raise _unknown(at, f"there is no metric `{check.metric}`", names)
        if check.subgroup is None:
            continue
        if check.metric not in BY_SUBGROUP:
            raise _unknown(at, f"`{check.metric}` is not computed per subgroup", BY_SUBGROUP)
        if figures.all is not None and check.subgroup.column not in columns:
            what = f"there are no subgroups by `{check.subgroup.column}`"
            raise _unknown(at, what, columns, " (reports/evaluation/subgroups.json)")


def _unknown(at: str, what: str, choices: Sequence[str], where: str = "") -> ConfigError:
    known = ", ".join(choices) or "none"
    return ConfigError(f"{at}: {what}. Choose one of: {known}{where}")


def images_for(check: Check, counts: Mapping[str, float]) -> float:
    """Number of images that a check can be computed on, at most; `counts`: images by class."""
    images, where = metric(check.metric).images, check.subgroup
    one = images.removeprefix("not ")
    kinds = {"all": [*counts], "lesion": [k for k in counts if k != NORMAL]}
    labels = kinds.get(one, [NORMAL if one == "without lesion" else one])
    chosen = counts.keys() - labels if one != images else counts.keys() & labels
    if where and where.column == "label":
        chosen &= {where.value}
    return sum(counts[label] for label in chosen)


def evaluate_check(check: Check, figures: Figures) -> CheckResult:
    """Compare a figure with its bound; one missing, not finite or of too few images fails."""
    figure = figures.of(check.subgroup).get(check.metric)
    value, bound = _value(check, figure), check.bound
    if check.above:
        baseline = figures.baselines.get(f"{check.above.rpartition('_')[2]}_{check.metric}")
        bound = baseline.value if baseline else None
    reason = _refusal(check, figures, figure, value)
    passed = False
    if reason is None and value is not None and bound is not None:
        passed, reason = _against(check, value, bound)
    return CheckResult(
        metric=check.metric,
        on=check.on,
        where=check.subgroup,
        min_n=check.min_n,
        bound=bound,
        above=check.above or "",
        value=value,
        n=figure.n if figure else None,
        passed=passed,
        reason=reason or MISSING,
    )


def _value(check: Check, figure: Figure | None) -> float | None:
    """Return the point estimate or the interval's conservative end; None if not finite."""
    if figure is None:
        return None
    end = figure.low if higher_is_better(check.metric) else figure.high
    value = figure.value if check.on == "point" else end
    return None if value is None or not isfinite(value) else value


def _refusal(
    check: Check, figures: Figures, figure: Figure | None, value: float | None
) -> str | None:
    """Reason why the check can't be evaluated, or None."""
    if figures.all is None:
        return UNOPENED
    where = check.subgroup
    if where and where.value not in figures.values(where.column):
        there = ", ".join(figures.values(where.column))
        return f"no test image has {where.column} `{where.value}`; found: {there}"
    if figure is None:
        return MISSING
    if figure.n < check.min_n:
        return f"{figure.n} images are too few, {check.min_n} are needed"
    return f"{check.metric} could not be computed" if value is None else None


def _against(check: Check, value: float, bound: float) -> tuple[bool, str]:
    """Compare: as good as the bound passes, as good as a baseline does not."""
    higher = higher_is_better(check.metric)
    ahead = value > bound if higher else value < bound
    passed = ahead or (value == bound and not check.above)
    sign = ("≥" if passed else "<") if higher else ("≤" if passed else ">")
    if check.above:
        sign = (">" if passed else "≤") if higher else ("<" if passed else "≥")
        return passed, f"{value:.4g} {sign} {bound:.4g}, the baseline {check.above}"
    return passed, f"{value:.4g} {sign} {bound:g}"
