"""Line, point and forest charts as inline SVG; text stays text, colours come from the page.

Hand-written, so that a chart is the same bytes in every run, follows the page's light or dark
colours, and stays readable on a narrow page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from hgmnet.metrics.bootstrap import Figure

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 30, 42

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """An axis of a chart; `ticks` are the labelled values. All values of a `log` axis are > 0."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Relative position of a value on the axis, clipped to [0, 1]."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, low))
        return min(1.0, max(0.0, (at - low) / (high - low)))


class Chart:
    """A chart with two axes; add data with `line` and `points`, then call `svg`."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        """Create an empty chart; `title` is its label for screen readers."""
        self.title = title
        self.x = x
        self.y = y
        self._marks: list[str] = []
        self._legend: list[tuple[str, str]] = []

    def line(self, points: Points, style: str, label: str = "") -> "Chart":
        """Draw a line; `style` is its CSS class, `label` its entry in the legend."""
        path = " ".join(f"{self._x(x)},{self._y(y)}" for x, y in points)
        self._marks.append(f'<polyline class="line {style}" points="{path}"/>')
        if label:
            self._legend.append((label, style))
        return self

    def points(self, points: Iterable[tuple[float, float, str]], style: str) -> "Chart":
        """Draw a dot per (x, y, tooltip)."""
        for x, y, said in points:
            dot = f'<circle class="dot {style}" cx="{self._x(x)}" cy="{self._y(y)}" r="3.5">'
            self._marks.append(f"{dot}<title>{escape(said)}</title></circle>")
        return self

    def legend(self, label: str, style: str) -> "Chart":
        """Add an entry for dots drawn in `style`."""
        self._legend.append((label, f"dot {style}"))
        return self

    def svg(self) -> str:
        """Return the chart as an `<svg>` element."""
        body = "".join((*self._frame(), *self._marks, *self._keys()))
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)}">{body}</svg>'
        )

    def _x(self, value: float) -> str:
        return f"{LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT):.1f}"

    def _y(self, value: float) -> str:
        return f"{HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM):.1f}"

    def _frame(self) -> Iterable[str]:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for tick in self.y.ticks:
            at = self._y(tick)
            yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at}" y2="{at}"/>'
            yield f'<text class="tick end" x="{LEFT - 6}" y="{at}" dy="4">{tick:g}</text>'
        for tick in self.x.ticks:
            yield f'<text class="tick mid" x="{self._x(tick)}" y="{bottom + 16}">{tick:g}</text>'
        yield f'<line class="base" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        middle, height = (LEFT + right) / 2, (TOP + bottom) / 2
        yield f'<text class="label mid" x="{middle}" y="{HEIGHT - 8}">{escape(self.x.label)}</text>'
        turned = f'transform="translate(12 {height}) rotate(-90)"'
        yield f'<text class="label mid" {turned}>{escape(self.y.label)}</text>'

    def _keys(self) -> Iterable[str]:
        at = float(LEFT)
        for label, style in self._legend:
            if style.startswith("dot"):
                yield f'<circle class="{style}" cx="{at + 5:.1f}" cy="12" r="3.5"/>'
            else:
                yield f'<path class="line {style}" d="M{at:.1f} 12h20"/>'
            start = at + (14 if style.startswith("dot") else 26)
            yield f'<text class="tick" x="{start:.1f}" y="16">{escape(label)}</text>'
            at = start + 6.4 * len(label) + 14


def strip(figure: Figure, bounds: Points = ()) -> str:
    """Draw a figure in [0, 1] as a dot, its interval as a bar, and ticks; empty without a value.

    `bounds`: (position of a tick in [0, 1], 1 for a gate's bound or 0 for a baseline).
    """
    if figure.value is None:
        return ""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    ticks = "".join(
        f'<path class="{"bound" if gate else "other"}" d="M{_along(at)} {0 if gate else 4}V'
        f'{16 if gate else 12}"/>'
        for at, gate in bounds
    )
    return (
        '<svg class="strip" viewBox="0 0 200 16" aria-hidden="true">'
        '<path class="base" d="M4 8H196"/>'
        f'<path class="range" d="M{_along(low)} 8H{_along(high)}"/>{ticks}'
        f'<circle class="at" cx="{_along(figure.value)}" cy="8" r="4"/></svg>'
    )


def linear(label: str, values: Iterable[float], count: int = 5) -> Axis:
    """Linear axis that covers the values; ticks are 1, 2 or 5 times a power of ten apart."""
    known = list(values)
    low, high = min(known), max(known)
    if high == low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 10) for i in range(first, last + 1))
    return Axis(label, ticks[0], ticks[-1], ticks)


def unit(label: str) -> Axis:
    """Axis from 0 to 1."""
    return Axis(label, 0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


def decades(label: str, values: Iterable[float]) -> Axis:
    """Logarithmic axis that covers the values, all > 0; ticks are powers of ten."""
    known = list(values)
    first = math.floor(math.log10(min(known)))
    last = max(first + 1, math.ceil(math.log10(max(known))))
    ticks = tuple(float(f"1e{power}") for power in range(first, last + 1))
    return Axis(label, ticks[0], ticks[-1], ticks, log=True)


def _along(value: float) -> str:
    return f"{4 + 192 * min(1.0, max(0.0, value)):.1f}"


FOREST_WIDTH = 360
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
"""The report's light colours, for a chart in its own file."""


@dataclass(frozen=True)
class ForestRow:
    """A figure with its interval; `said`: both as text, the tooltip of the dot."""

    label: str
    value: float
    low: float
    high: float
    said: str


def forest_plot(title: str, label: str, rows: Sequence[ForestRow]) -> str:
    """Return a forest plot, rows from top to bottom, as `<svg>`; the line at 0: no difference.

    `title`: label for screen readers. `label`: of the axis.
    """
    axis = linear(label, [0.0, *(end for row in rows for end in (row.low, row.high))])
    height = _TOP + _ROW * len(rows) + _BOTTOM
    body = "".join((_frame(axis, height), *(_row(axis, i, row) for i, row in enumerate(rows))))
    return (
        f'<svg class="chart" viewBox="0 0 {FOREST_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )


def standalone(svg: str) -> str:
    """Return the content of an SVG file with this chart."""
    head, _, body = svg.partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>{STYLE}</style>{body}\n"


def _frame(axis: Axis, height: int) -> str:
    bottom = height - _BOTTOM + 4
    parts = []
    for tick in axis.ticks:
        kind = "base" if tick == 0 else "grid"
        at, text = _x(axis, tick), "0" if tick == 0 else f"{tick:+g}".replace("-", "−")
        parts.append(f'<line class="{kind}" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick mid" x="{at}" y="{bottom + 15}">{text}</text>')
    middle = FOREST_WIDTH / 2
    parts.append(f'<text class="mid" x="{middle}" y="{height - 8}">{escape(axis.label)}</text>')
    return "".join(parts)


def _row(axis: Axis, index: int, row: ForestRow) -> str:
    top = _TOP + _ROW * index
    short = row.said.partition(" (")[0]
    room = int((FOREST_WIDTH - _LEFT - _RIGHT) / _LETTER) - len(short) - 2
    label = row.label if len(row.label) <= room else f"{row.label[: room - 1].rstrip()}…"
    low, high, at, y = _x(axis, row.low), _x(axis, row.high), _x(axis, row.value), top + 25
    return (
        f'<text class="strong" x="{_LEFT}" y="{top + 13}">{escape(label)}</text>'
        f'<text class="end" x="{FOREST_WIDTH - _RIGHT}" y="{top + 13}">{escape(short)}</text>'
        f'<path class="line s1" d="M{low} {y}H{high}"/>'
        f'<circle class="dot c1" cx="{at}" cy="{y}" r="4">'
        f"<title>{escape(f'{row.label}: {row.said}')}</title></circle>"
    )


def _x(axis: Axis, value: float) -> str:
    return f"{_LEFT + 8 + axis.place(value) * (FOREST_WIDTH - _LEFT - _RIGHT - 16):.1f}"
