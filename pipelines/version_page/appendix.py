"""Appendix of the page about a version: change plan with its evidence, and CLAIM's items."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from hgmnet.config.change_plan import ChangePlan, Span, load_plans
from hgmnet.config.data_card import ITEMS, DataCard, load_data_card
from hgmnet.config.risks import Risk, Risks, load_risks
from hgmnet.errors import ConfigError
from pipelines.artifacts.gate import ClauseResult
from pipelines.registry.evidence import SOFTWARE
from pipelines.registry.software import Software, read_software
from pipelines.report import text
from pipelines.report.inputs import ReportInputs, counted
from pipelines.report.model_card import NO, Item, items
from pipelines.version_page.version import VersionEvidence

T = TypeVar("T")


@dataclass(frozen=True)
class PlanElement:
    """An element of a predetermined change control plan.

    `wrote`: a person's words in pccp.yaml; `missing`: the key to write there, empty if they did.
    `found`: what the run shows about it.
    """

    name: str
    wrote: str
    missing: str
    found: str


@dataclass(frozen=True)
class Traced:
    """An allowed change and the clauses that check it in this version."""

    change: str
    allowed: str
    clauses: tuple[ClauseResult, ...]


@dataclass(frozen=True)
class RiskStatus:
    """A risk, and (check, outcome) of each check in this version."""

    risk: Risk
    outcomes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Appendix:
    """`elements` and `traced`: empty without a plan. `card`, `software`: None without a file."""

    elements: tuple[PlanElement, ...]
    traced: tuple[Traced, ...]
    claim: tuple[Item, ...]
    card: DataCard | None
    software: Software | None
    risks: tuple[RiskStatus, ...]


def appendix(version: VersionEvidence) -> Appendix:
    """Read plan, data card and risks of the frozen evidence.

    One that another release wrote, and this one can't read, counts as absent.
    """
    evidence, space = version.inputs, version.space
    plans = _read(lambda: load_plans(space.change_plan))
    plan = plans.plans.get(evidence.gate.registry) if plans else None
    card = _read(lambda: load_data_card(space.data_card))
    risks = _read(lambda: load_risks(space.risks))
    return Appendix(
        tuple(_elements(plan, evidence)) if plan else (),
        tuple(_traced(plan, evidence.gate.plan)) if plan else (),
        tuple(_claim(evidence, card)),
        card,
        read_software(version.folder / SOFTWARE),
        tuple(_risks(evidence, risks)),
    )


def _read(load: Callable[[], T | None]) -> T | None:
    with suppress(ConfigError):
        return load()
    return None


def _elements(plan: ChangePlan, evidence: ReportInputs) -> Iterator[PlanElement]:
    """Yield the elements that FDA's final guidance asks for (2024, reissued 2025).

    "Marketing Submission Recommendations for a Predetermined Change Control Plan for Artificial
    Intelligence-Enabled Device Software Functions": description of modifications, modification
    protocol, impact assessment; `_traced` has the traceability between them.
    """
    facts, run = evidence.provenance, evidence.provenance.run
    images = f"{counted(evidence.validation.images, 'image')} in split {facts.lock_id or 'unknown'}"
    trained = f"commit {run.git_commit[:10]}, seed {evidence.spec.seed}" if run else ""
    judged = f"{counted(len(plan.acceptance), 'criterion').replace('criterions', 'criteria')}"
    first = evidence.opening.number if evidence.opening else None
    found = {
        "protocol.data": f"{images}; {facts.groups or 0} groups kept whole",
        "protocol.retraining": trained,
        "protocol.evaluation": f"{judged}; evaluation {first or 'none'} on this test split",
    }
    titles = {
        "modifications": "Description of modifications",
        "protocol.data": "Modification protocol: data management",
        "protocol.retraining": "Modification protocol: retraining",
        "protocol.evaluation": "Modification protocol: performance evaluation",
        "protocol.update": "Modification protocol: update procedures",
        "impact.benefits": "Impact assessment: benefits",
        "impact.risks": "Impact assessment: risks",
        "impact.mitigations": "Impact assessment: mitigation of risks",
        "impact.combined": "Impact assessment: modifications together",
    }
    for key, title in titles.items():
        part, _, name = key.rpartition(".")
        wrote = getattr(getattr(plan, part) if part else plan, name)
        missing = "" if wrote else f"plans.{evidence.gate.registry}.{key}"
        yield PlanElement(title, wrote, missing, found.get(key, ""))


def _traced(plan: ChangePlan, clauses: tuple[ClauseResult, ...]) -> Iterator[Traced]:
    """Yield each allowed change with its own clauses, and the criteria for every change."""
    allowed, spans = plan.allowed, plan.allowed.thresholds
    names = (
        ("allowed.data", "data sets to train on", ", ".join(allowed.data.sets)),
        ("allowed.retraining.encoders", "encoder", ", ".join(allowed.retraining.encoders)),
        ("allowed.retraining.side", "image side, px", _span(allowed.retraining.side)),
        ("allowed.thresholds.malignant", "malignant threshold", _span(spans.malignant)),
        ("allowed.thresholds.mask", "mask threshold", _span(spans.mask)),
        ("allowed.thresholds.min_area", "minimum area of a mask", _span(spans.min_area)),
    )
    criteria = tuple(one for one in clauses if one.clause.startswith("acceptance."))
    for name, change, within in names:
        own = tuple(one for one in clauses if one.clause == name)
        yield Traced(change, within, (*own, *criteria))


def _risks(evidence: ReportInputs, risks: Risks | None) -> Iterator[RiskStatus]:
    """Yield the risks of the model with the outcome of each check: held, or why not."""
    gate = evidence.gate
    clauses = _worst((one.clause, one.status) for one in gate.plan)
    metrics = _worst((one.metric, text.outcome(evidence, one)) for one in gate.checks)
    for risk in risks.models.get(gate.registry, ()) if risks else ():
        yield RiskStatus(
            risk,
            tuple(
                (one.test, "a test of the repository, not part of this run")
                if one.test
                else (one.clause, clauses.get(one.clause, "absent: not in the change plan"))
                if one.clause
                else (one.gate, metrics.get(one.gate, "absent: not in the gate"))
                for one in risk.checks
            ),
        )


_ORDER = ("breached", "failed", "due", "not judged", "passed", "held")


def _worst(outcomes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Keep the worst outcome of each name: several checks may be about one metric."""
    found: dict[str, str] = {}
    for name, outcome in outcomes:
        found[name] = min(found.get(name, outcome), outcome, key=_ORDER.index)
    return found


def _span(span: Span) -> str:
    return f"{span.min:g} to {span.max:g}"


def _claim(evidence: ReportInputs, card: DataCard | None) -> Iterator[Item]:
    """Yield CLAIM's 44 items; what the run does not answer, the data card may."""
    for item in items(evidence):
        known = getattr(card, ITEMS[item.number]) if card and item.number in ITEMS else ""
        if not known:
            yield item
        elif item.answer == NO:
            yield Item(item.number, item.asks, f"{known} (data card)")
        else:
            yield Item(item.number, item.asks, f"{item.answer}; {known} (data card)")
