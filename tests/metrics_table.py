"""docs/metrics.md's table of metrics, from where they are declared; `make deps` writes it there."""

from hgmnet.metrics.catalogue import METRICS, PER_CLASS, Metric
from tests.imports import REPOSITORY

PAGE = REPOSITORY / "docs/metrics.md"
BEGIN, END = "<!-- generated: make deps -->\n", "<!-- end -->\n"


def rewritten(text: str) -> str:
    """The page with the table as it must be, and all else as it was."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n".join(_table()) + "\n" + END + rest.partition(END)[2]


def _table() -> list[str]:
    head = [
        "| metric | formula | images | without truth or prediction | better |",
        "|---|---|---|---|---|",
    ]
    return head + [_row(one) for one in (*METRICS, *PER_CLASS)]


def _row(one: Metric) -> str:
    better = "higher" if one.higher_is_better else "lower"
    cells = (f"`{one.name}`", one.formula.replace("|", r"\|"), one.images, one.empty, better)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
