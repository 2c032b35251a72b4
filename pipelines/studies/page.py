"""A study's page, self-contained and in the report's style, and its charts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.report import wording
from pipelines.report.plots import Plot
from pipelines.report.svg import Axis, Chart, linear, unit
from pipelines.studies import tables
from pipelines.studies.design import Study
from pipelines.studies.forest import Row, forest, standalone
from pipelines.studies.summary import ALL, FoldLine, Line
from pipelines.templates import templates

STYLE = Path(__file__).parents[1] / "report" / "report.css"
_DOTS = ("c1", "c2", "c3", "c4")


def render(
    study: Study, found: Sequence[Line], folds: Sequence[FoldLine], setting: str, data: str
) -> tuple[str, dict[str, str]]:
    """The page, and its charts by name as files of their own.

    Args:
        study: what was asked.
        found: the table's lines.
        folds: the figures of each fold and seed.
        setting: what it is of, in words.
        data: the data set's name.
    """
    plots = _plots(study, found, folds)
    page = (
        templates(Path(__file__).parent)
        .get_template("study.html.j2")
        .render(
            study=study,
            setting=setting,
            data=data,
            head=tables.head(study, found),
            body=tables.body(study, found),
            legend=tables.legend(study),
            every=[line for line in found if line.value is not None],
            words=wording,
            tables=tables,
            plots=plots.values(),
            style=STYLE.read_text(encoding="utf-8"),
        )
    )
    return page, {name: standalone(plot.svg) for name, plot in plots.items()}


def _plots(study: Study, found: Sequence[Line], folds: Sequence[FoldLine]) -> Mapping[str, Plot]:
    plots: dict[str, Plot] = {}
    for metric in tables.shown(found):
        if study.steps:
            plots[f"curve_{metric}"] = _curve(study, found, metric)
        elif study.reference is None:
            plots[f"folds_{metric}"] = _folds(folds, metric)
        elif rows := _rows(study, found, metric):
            plots[f"forest_{metric}"] = _forest(study, rows, metric)
    return plots


def _rows(study: Study, found: Sequence[Line], metric: str) -> list[Row]:
    rows = []
    for line in found:
        low, high = line.difference_low, line.difference_high
        if line.metric != metric or line.difference is None or low is None or high is None:
            continue
        label = study.variants[line.variant]
        label = label if line.part == ALL or not study.parts else line.part
        said = tables.gain(line)
        rows.append(Row(label, line.difference, low, high, said))
    return rows


def _forest(study: Study, rows: Sequence[Row], metric: str) -> Plot:
    name, against = wording.title(metric), study.variants[study.reference or ""]
    svg = forest(f"{name}, differences", f"{name}, minus {against}", rows)
    return Plot(name, svg, "Paired differences with 95 % intervals by groups of images.")


def _folds(folds: Sequence[FoldLine], metric: str) -> Plot:
    known = [line for line in folds if line.metric == metric and line.value is not None]
    name = wording.title(metric)
    count = max(line.fold for line in folds)
    x = Axis("fold", 0.5, count + 0.5, tuple(float(fold + 1) for fold in range(count)))
    chart = Chart(f"{name} by fold", x, unit(""))
    for i, seed in enumerate(sorted({line.seed for line in known})):
        style = _DOTS[i % len(_DOTS)]
        mine = [line for line in known if line.seed == seed]
        dots = ((float(m.fold), m.value or 0.0, f"fold {m.fold}: {m.value:.3f}") for m in mine)
        chart.points(dots, style).legend(f"seed {seed}", style)
    said = "Each fold’s own figure: its images alone, without an interval."
    return Plot(f"{name} by fold", chart.svg(), said)


def _curve(study: Study, found: Sequence[Line], metric: str) -> Plot:
    lines = [
        line
        for line in found
        if line.metric == metric and line.part == ALL and line.value is not None
    ]
    name = wording.title(metric)
    ends = [end for line in lines for end in (line.low, line.high, line.value) if end is not None]
    x = linear("images trained on", [0.0, *(study.steps[line.variant] for line in lines)])
    chart = Chart(f"{name} by training images", x, linear("", ends))
    for line in lines:
        at = study.steps[line.variant]
        if line.low is not None and line.high is not None:
            chart.line([(at, line.low), (at, line.high)], "s1")
    points = [(study.steps[line.variant], line.value or 0.0) for line in lines]
    chart.line(points, "s1")
    chart.points(((at, v, f"{at:.0f} images: {v:.3f}") for at, v in points), "c1")
    said = "Means over folds and seeds, with 95 % intervals by groups of images."
    return Plot(name, chart.svg(), said)
