"""Format a promotion as text with aligned columns, or as Markdown."""

from collections.abc import Sequence

from hgmnet.pages.html import fill
from pipelines.promotion.promote import PromotionOutcome
from pipelines.report.text import title


def format_promotion(name: str, outcome: PromotionOutcome) -> list[str]:
    """Return the lines of a table per comparison, then the decision and its reason."""
    known = {"model": name, "outcome": outcome, "title": title}
    return fill(__file__, "promotion.txt.j2", **known).splitlines()


def markdown(name: str, outcome: PromotionOutcome, facts: Sequence[str]) -> str:
    """Format as Markdown for Prefect's pages: a table per comparison, the decision, the facts.

    `facts`: doubts and links, one line of Markdown each.
    """
    known = {"model": name, "outcome": outcome, "title": title}
    filled = fill(__file__, "promotion.md.j2", **known, facts=facts)
    return filled.removesuffix("\n")
