"""A forest plot: a figure and its interval a row, in the manner of the report's charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pipelines.report.svg import Axis, linear

WIDTH = 360
_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 12, 12, 8, 36, 44
_LETTER = 7  # px, about

STYLE = (
    ".chart{font:12px sans-serif}.chart text{fill:#55626f}.chart .strong{fill:#16202b}"
    ".chart .mid{text-anchor:middle}.chart .end{text-anchor:end}"
    ".chart .grid{stroke:#d9dfe5;stroke-width:.75}.chart .base{stroke:#55626f}"
    ".chart .line{fill:none;stroke-width:2}.chart .s1{stroke:#0067a5}"
    ".chart .s2{stroke:#c25100;stroke-dasharray:6 3}"
    ".chart .chance{stroke:#55626f;stroke-width:1;stroke-dasharray:2 3}"
    ".chart .dot{stroke:#fff;stroke-width:.75}.chart .c1{fill:#0067a5}.chart .c2{fill:#c25100}"
    ".chart .c3{fill:#00795c}.chart .c4{fill:#6b5b95}"
)
"""The report's light colours, for a chart that stands alone."""


@dataclass(frozen=True)
class Row:
    """A figure with its interval; `said`: both in words, told when the dot is pointed at."""

    label: str
    value: float
    low: float
    high: float
    said: str


def forest(title: str, label: str, rows: Sequence[Row]) -> str:
    """The plot as an `<svg>` element; the line at 0 means no difference.

    Args:
        title: what a screen reader says of it.
        label: of the axis.
        rows: from top to bottom, at least one.
    """
    axis = linear(label, [0.0, *(end for row in rows for end in (row.low, row.high))])
    height = _TOP + _ROW * len(rows) + _BOTTOM
    body = "".join((_frame(axis, height), *(_row(axis, i, row) for i, row in enumerate(rows))))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )


def standalone(svg: str) -> str:
    """A chart as a file of its own."""
    head, _, body = svg.partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>{STYLE}</style>{body}\n"


def _frame(axis: Axis, height: int) -> str:
    bottom = height - _BOTTOM + 4
    parts = []
    for tick in axis.ticks:
        kind = "base" if tick == 0 else "grid"
        at = _x(axis, tick)
        parts.append(f'<line class="{kind}" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick mid" x="{at}" y="{bottom + 15}">{_signed(tick)}</text>')
    middle = WIDTH / 2
    parts.append(f'<text class="mid" x="{middle}" y="{height - 8}">{escape(axis.label)}</text>')
    return "".join(parts)


def _row(axis: Axis, index: int, row: Row) -> str:
    top = _TOP + _ROW * index
    short = row.said.partition(" (")[0]
    room = int((WIDTH - _LEFT - _RIGHT) / _LETTER) - len(short) - 2
    label = row.label if len(row.label) <= room else f"{row.label[: room - 1].rstrip()}…"
    low, high, at, y = _x(axis, row.low), _x(axis, row.high), _x(axis, row.value), top + 25
    return (
        f'<text class="strong" x="{_LEFT}" y="{top + 13}">{escape(label)}</text>'
        f'<text class="end" x="{WIDTH - _RIGHT}" y="{top + 13}">{escape(short)}</text>'
        f'<path class="line s1" d="M{low} {y}H{high}"/>'
        f'<circle class="dot c1" cx="{at}" cy="{y}" r="4">'
        f"<title>{escape(f'{row.label}: {row.said}')}</title></circle>"
    )


def _x(axis: Axis, value: float) -> str:
    return f"{_LEFT + 8 + axis.place(value) * (WIDTH - _LEFT - _RIGHT - 16):.1f}"


def _signed(tick: float) -> str:
    return "0" if tick == 0 else f"{tick:+g}".replace("-", "−")
