"""Great Expectations' pages, made readable without a network.

As they come they fetch a dozen scripts and styles from the web, and their index is empty without.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.system.html import fill

NAMED = 10
"""So many rows are named on the index; the page behind it has more."""

_FOREIGN = re.compile(
    r"<script\b.*?</script>"  # none of them works without those from the web
    r'|<(?:link|img)\b[^>]*"https?:[^>]*>',
    re.DOTALL,
)


@dataclass(frozen=True)
class RuleResult:
    """What came of one rule: `broken_by` the offending rows' names, `observed` what was found."""

    meaning: str
    severity: str
    held: bool
    broken_by: Sequence[str]
    observed: str


def finish(docs: Path, title: str, rows: int, verdicts: Sequence[RuleResult]) -> None:
    """Take out of every page what comes from the web, and write an index that tells the outcome.

    Args:
        docs: the folder of the pages.
        title: what was judged.
        rows: of how many rows.
        verdicts: one a rule, in the order of the rules.
    """
    css = (Path(__file__).parent / "templates" / "data_docs.css").read_text(encoding="utf-8")
    style = f"<style>{css}</style></head>"
    for page in docs.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        page.write_text(_FOREIGN.sub("", html).replace("</head>", style), encoding="utf-8")
    index = fill(
        __file__,
        "index.html.j2",
        title=title,
        rows=rows,
        named=NAMED,
        verdicts=sorted(verdicts, key=_rank),
        results=sorted(_links(docs, "validations")),
        suites=sorted(_links(docs, "expectations")),
    )
    (docs / "index.html").write_text(index, encoding="utf-8")


def _rank(verdict: RuleResult) -> tuple[bool, bool]:
    """What blocks first, then what is shown, then what holds."""
    return verdict.held, verdict.severity != "critical"


def _links(docs: Path, folder: str) -> list[str]:
    return [page.relative_to(docs).as_posix() for page in (docs / folder).rglob("*.html")]
