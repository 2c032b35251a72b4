"""Appendix of the page about a version: change plan with its evidence, and CLAIM's items."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from hgmnet.config.change_plan import ChangePlan, load_plans
from hgmnet.config.data_card import ITEMS, DataCard, load_data_card
from hgmnet.config.risks import Risk, Risks, load_risks
from hgmnet.errors import ConfigError
from pipelines.registry.evidence import SOFTWARE
from pipelines.registry.software import Software, read_software
from pipelines.report import text
from pipelines.report.inputs import ReportInputs, counted
from pipelines.report.model_card import NO, Item, items
from pipelines.version_page.version import VersionEvidence

T = TypeVar("T")


@dataclass(frozen=True)
class RiskStatus:
    """A risk, and (check, outcome) of each check in this version."""

    risk: Risk
    outcomes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Appendix:
    """`plan`, `card`, `software`: None without a file; `found`: what the run shows of the plan."""

    plan: ChangePlan | None
    found: Mapping[str, str]
    claim: tuple[Item, ...]
    card: DataCard | None
    software: Software | None
    risks: tuple[RiskStatus, ...]


def appendix(version: VersionEvidence) -> Appendix:
    """Read plan, card and risks of the evidence; one that this release can't read is absent."""
    evidence, space = version.inputs, version.space
    plans = _read(lambda: load_plans(space.change_plan))
    plan = plans.plans.get(evidence.gate.registry) if plans else None
    card = _read(lambda: load_data_card(space.data_card))
    risks = _read(lambda: load_risks(space.risks))
    return Appendix(
        plan,
        _found(plan, evidence) if plan else {},
        tuple(_claim(evidence, card)),
        card,
        read_software(version.folder / SOFTWARE),
        tuple(_risks(evidence, risks)),
    )


def _read(load: Callable[[], T | None]) -> T | None:
    with suppress(ConfigError):
        return load()
    return None


def _found(plan: ChangePlan, evidence: ReportInputs) -> dict[str, str]:
    """Describe what the run shows of the plan's protocol, by part."""
    facts, run = evidence.provenance, evidence.provenance.run
    images = f"{counted(evidence.validation.images, 'image')} in split {facts.lock_id or 'unknown'}"
    judged = counted(len(plan.acceptance), "criterion").replace("criterions", "criteria")
    first = evidence.opening.number if evidence.opening else None
    return {
        "data": f"{images}; {facts.groups or 0} groups kept whole",
        "retraining": f"commit {run.git_commit[:10]}, seed {evidence.spec.seed}" if run else "",
        "evaluation": f"{judged}; evaluation {first or 'none'} on this test split",
    }


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
