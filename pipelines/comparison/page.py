"""The comparison as one self-contained page, and as a short table for a terminal."""

from pathlib import Path

from pipelines.comparison.contest import Contest, Row
from pipelines.report import wording
from pipelines.templates import templates

SHORT = (*wording.HEADLINES, "coarse_lesion_dice", "hd95")
"""What the terminal shows, of what there is."""
_STYLE = Path(__file__).parents[1] / "report" / "report.css"


def render(contest: Contest, names: tuple[str, str], data: str) -> str:
    """The page; the same arguments give the same text."""
    return (
        templates(Path(__file__).parent)
        .get_template("compare.html.j2")
        .render(
            contest=contest,
            names=names,
            data=data,
            words=wording,
            signed=signed,
            said=said,
            style=_STYLE.read_text(encoding="utf-8"),
        )
    )


def short(contest: Contest, names: tuple[str, str]) -> str:
    """A few figures and how many images the two disagree on, aligned."""
    first, second = names
    head = ("figure", first, second, "difference", "95 % interval", "better")
    shown = [row for row in contest.rows if row.metric in SHORT]
    lines = [head, *(_cells(row, names) for row in shown)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    aligned = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    decisions = sum("decision" in one.why for one in contest.disagreements)
    return "\n".join(
        [
            f"{contest.images} {contest.split} images, {contest.groups} groups",
            "",
            *(line.rstrip() for line in aligned),
            "",
            f"they disagree on {len(contest.disagreements)} images, in the decision on {decisions}",
        ]
    )


def signed(value: float | None) -> str:
    """A difference with its sign and three decimals."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def said(row: Row, names: tuple[str, str]) -> str:
    """Which of the two is better, or that they are not told apart."""
    return {"first": names[0], "second": names[1], "neither": "not told apart"}[row.better]


def _cells(row: Row, names: tuple[str, str]) -> tuple[str, ...]:
    return (
        wording.title(row.metric),
        wording.number(row.first.value),
        wording.number(row.second.value),
        signed(row.paired.difference),
        f"{signed(row.paired.low)} to {signed(row.paired.high)}",
        said(row, names),
    )
