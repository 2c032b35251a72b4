"""Check a model against its change plan, clause by clause, without reading files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from hgmnet.config.base import SMALL
from hgmnet.config.change_plan import ChangePlan, ChangePlans, Span, Thresholds
from hgmnet.config.data import Prepare
from hgmnet.config.model import Model
from hgmnet.evaluation.drift import DriftReport
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.spec import Operating
from pipelines.artifacts.gate import CheckResult, ClauseResult
from pipelines.gate.checks import UNOPENED, Figures, evaluate_check

SERVED_CLAUSE = "revalidate.served_sensitivity_below"
_DAYS_A_MONTH = 365.2425 / 12


@dataclass(frozen=True)
class Design:
    """Properties of a model that are known before training."""

    data: str
    classes: tuple[str, ...]
    model: Model
    prepare: Prepare


@dataclass(frozen=True)
class Candidate:
    """A model to check: registry name, design, operating point, figures and drift."""

    registry: str
    design: Design
    operating: Operating
    figures: Figures
    drift: DriftReport


def check_change_plan(plans: ChangePlans, candidate: Candidate) -> tuple[ClauseResult, ...]:
    """Check every clause of the plan for `candidate.registry`; a missing plan is a breach.

    `revalidate.openings_above` and `.months` are checked later, as they need MLflow and the date
    (`hgmnet flow monitoring`).
    """
    plan = plans.plans.get(candidate.registry)
    known = check_design(plans, candidate.registry, candidate.design)
    if plan is None:
        return known
    model = candidate.design.model
    return (
        *known,
        *_thresholds(plan.allowed.thresholds, candidate.operating, model),
        *(_criterion(evaluate_check(check, candidate.figures)) for check in plan.acceptance),
        *drift_due(plan, candidate.drift),
    )


def check_design(plans: ChangePlans, registry: str, design: Design) -> tuple[ClauseResult, ...]:
    """Check the clauses that depend on the design alone, so before training."""
    plan = plans.plans.get(registry)
    if plan is None:
        planned = ", ".join(sorted(plans.plans)) or "none"
        why = f"there is no plan for {registry}; found plans for {planned}"
        return (ClauseResult(clause="plans", status="breached", reason=why),)
    return (*_allowed(plan, design), *_fixed(plan, design))


def openings_due(plan: ChangePlan, openings: int) -> ClauseResult:
    """Check whether the test split was evaluated more often than the plan allows."""
    most = plan.revalidate.openings_above
    due = openings > most
    side = "above" if due else "up to"
    says = f"the test split was evaluated {openings} times, {side} {most}"
    return _due("openings_above", says, due=due)


def drift_due(plan: ChangePlan, drift: DriftReport) -> Iterator[ClauseResult]:
    """Check whether new images have drifted more than the plan allows, or have new values."""
    yield _drifted(plan, drift)
    yield from (_new_values(column, drift) for column in plan.revalidate.new_values_in)


def _drifted(plan: ChangePlan, drift: DriftReport) -> ClauseResult:
    share = len(drift.drifted) / len(drift.columns) if drift.columns else 0.0
    most = plan.revalidate.drifted_share_above
    due = share > most
    says = (
        f"the {drift.source} differs from the training images in {len(drift.drifted)} of "
        f"{len(drift.columns)} features, {share:.0%} {'>' if due else '≤'} {most:.0%}"
    )
    return _due("drifted_share_above", says, due=due)


def _new_values(column: str, drift: DriftReport) -> ClauseResult:
    new = drift.new_values.get(column)
    status: Literal["held", "due", "not judged"] = "due" if new else "held"
    reason = f"the {drift.source} has no {column} that the training images do not have"
    if new:
        reason = f"the {drift.source} has {column} {', '.join(new)}; the training images do not"
    elif new is None:
        status = "not judged"
        reason = f"images.csv of the training images or of the {drift.source} lacks {column}"
    return ClauseResult(clause="revalidate.new_values_in", status=status, reason=reason)


def age_due(plan: ChangePlan, days: float) -> ClauseResult:
    """Check whether the version is older than the plan allows; `days`: its age."""
    most, months = plan.revalidate.months, days / _DAYS_A_MONTH
    due = months > most
    says = f"the version is {months:.1f} months old, {'above' if due else 'up to'} {most}"
    return _due("months", says, due=due)


def served_due(plan: ChangePlan, sensitivity: Figure | None) -> Iterator[ClauseResult]:
    """Check the sensitivity of served answers, if the plan asks for it; None: not known."""
    least = plan.revalidate.served_sensitivity_below
    if least is None:
        return
    if sensitivity is None or sensitivity.value is None or sensitivity.groups < SMALL:
        count = sensitivity.groups if sensitivity else 0
        why = f"{count} groups of malignant images were served and labelled; {SMALL} are needed"
        yield ClauseResult(clause=SERVED_CLAUSE, status="not judged", reason=why)
        return
    value, due = sensitivity.value, sensitivity.value < least
    says = f"the sensitivity of served answers is {value:.3f}, {'<' if due else '≥'} {least:g}"
    yield _due("served_sensitivity_below", f"{says}, on {sensitivity.n} images", due=due)


def _due(clause: str, says: str, *, due: bool) -> ClauseResult:
    status: Literal["due", "held"] = "due" if due else "held"
    return ClauseResult(clause=f"revalidate.{clause}", status=status, reason=says)


def _allowed(plan: ChangePlan, design: Design) -> Iterator[ClauseResult]:
    sets, allowed = plan.allowed.data.sets, plan.allowed.retraining
    yield _clause("allowed.data", "is trained on", design.data, sets, held=design.data in sets)
    encoder, side = design.model.encoder, design.prepare.side
    known = allowed.knows(encoder)
    name = "allowed.retraining"
    yield _clause(f"{name}.encoders", "has the encoder", encoder, allowed.encoders, held=known)
    yield _within(f"{name}.side", "has an edge length of", side, allowed.side)


def _thresholds(allowed: Thresholds, operating: Operating, model: Model) -> Iterator[ClauseResult]:
    name = "allowed.thresholds"
    if operating.malignant_threshold is not None:
        value = operating.malignant_threshold
        yield _within(f"{name}.malignant", "calls malignant from", value, allowed.malignant)
    if model.segments:
        value = operating.mask_threshold
        yield _within(f"{name}.mask", "segments from", value, allowed.mask)
        value = operating.min_area
        yield _within(f"{name}.min_area", "drops a mask below", value, allowed.min_area)


def _fixed(plan: ChangePlan, design: Design) -> Iterator[ClauseResult]:
    fixed, classes = plan.fixed, sorted(design.classes)
    same = classes == sorted(fixed.classes)
    said = ", ".join(classes)
    yield _clause("fixed.classes", "predicts", said, sorted(fixed.classes), held=same)
    tasks = design.model.tasks
    yield _clause("fixed.tasks", "learns", tasks, [fixed.tasks], held=tasks == fixed.tasks)
    seen, planned = design.model.input, fixed.input.channels
    yield _clause("fixed.input.channels", "takes", seen, [planned], held=seen == planned)


def _criterion(check: CheckResult) -> ClauseResult:
    """Convert an acceptance criterion's check to a clause."""
    of = f" where {check.where.column} is {check.where.value}" if check.where else ""
    status: Literal["held", "breached", "not judged"] = "held" if check.passed else "breached"
    if check.reason == UNOPENED:
        status = "not judged"
    return ClauseResult(
        clause=f"acceptance.{check.metric}",
        status=status,
        reason=f"{check.metric}{of}, on the {check.on}: {check.reason}",
    )


def _clause(
    clause: str, verb: str, got: str, planned: Sequence[str], *, held: bool
) -> ClauseResult:
    says = f"it {verb} {got}; planned: {', '.join(planned)}"
    return ClauseResult(clause=clause, status="held" if held else "breached", reason=says)


def _within(clause: str, verb: str, got: float, planned: Span) -> ClauseResult:
    return _clause(clause, verb, f"{got:.4g}", [str(planned)], held=got in planned)
