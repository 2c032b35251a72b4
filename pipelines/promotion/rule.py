"""The rule applied: what the verdicts and a person's word come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hgmnet.evaluation.promotion_rule import ORDER, Verdict
from pipelines.artifacts.test_evaluations import user
from pipelines.promotion.comparison import VersionComparison
from pipelines.registry.aliases import PromotionDecision, RegistryState


@dataclass(frozen=True)
class Request:
    """What is asked for: which version (None: the challenger), and whether a person answers for it.

    `approved`: they do, and say why in `reason`; `by`: who, empty for the user of this process.
    """

    version: str | None = None
    approved: bool = False
    reason: str = ""
    by: str = ""


def decision(
    comparisons: Sequence[VersionComparison],
    number: str,
    now: RegistryState,
    request: Request,
    *,
    by_person: bool,
) -> PromotionDecision:
    """Apply the rule to the verdicts.

    A challenger that is better than the champion, and not worse than the anchor, is promoted by
    itself, unless a person must approve (`by_person`). One that is worse than either is kept from
    serving, whoever approves. The rest is a person's decision, whose version is the anchor then.
    """
    verdicts = [compared.comparison.verdict for compared in comparisons]
    least = min(verdicts, key=ORDER.index, default="better")
    said = _said(comparisons)
    clear = (not comparisons or verdicts[0] == "better") and least in {"better", "not worse"}
    if least == "worse":
        why = ""
    elif clear and not by_person:
        why = request.reason or said
    else:
        why = request.reason if request.approved else ""
    if not why:
        kept = said if least == "worse" else f"{said}; a person must decide: --approve --reason ..."
        return PromotionDecision(
            "kept", number, now.champion, now.anchor, kept, least, evidence=evidence(comparisons)
        )
    anchor = number if request.approved else now.anchor
    who = (request.by or user()) if request.approved else ""
    return PromotionDecision(
        "promoted", number, number, anchor, why, least, who, evidence(comparisons)
    )


def evidence(comparisons: Iterable[VersionComparison]) -> tuple[tuple[str, str], ...]:
    """The figures behind a decision, short enough to be kept with it."""
    return tuple(
        (
            f"{compared.against} {compared.version}: {name}",
            f"{figure.difference:+.4f} [{figure.lower:+.4f}, {figure.upper:+.4f}] n={figure.n}",
        )
        for compared in comparisons
        for name, figure in compared.comparison.figures.items()
    )


def _said(comparisons: Sequence[VersionComparison]) -> str:
    if not comparisons:
        return "it passed its gate, and none served before"
    return " and ".join(
        f"{_WORDS[compared.comparison.verdict]} {compared.against} {compared.version}"
        for compared in comparisons
    )


_WORDS: dict[Verdict, str] = {
    "better": "better than",
    "not worse": "not worse than",
    "worse": "worse than",
    "undecided": "undecided against",
}
