"""Write a study to reports/studies/<name>: rows, tables (Markdown, LaTeX) and a page."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from hgmnet.config.model import File, Model
from hgmnet.data.atomic import write_table, write_text
from hgmnet.evaluation.per_image import columns
from hgmnet.pages.html import fill
from pipelines.artifacts.io import write_rows
from pipelines.report import text as wording
from pipelines.report.charts import Axis, Chart, ForestRow, forest_plot, linear, standalone, unit
from pipelines.report.figures import Plot
from pipelines.report.inputs import counted
from pipelines.studies.aggregate import ALL, FoldLine, Line, fold_lines, lines
from pipelines.studies.definition import SHORT, Study, StudyContext
from pipelines.studies.training_run import KEY, Made

LEGEND = "In brackets: the 95 % interval by a bootstrap that resamples groups of images."
SPREAD = " ± is the standard deviation over {over}."
DIFFERENCE = (
    "Differences are minus {reference}, paired by image. There is no correction for multiple "
    "comparisons: about one interval in twenty excludes 0 by chance."
)


def shown(found: Sequence[Line]) -> list[str]:
    """Return the metrics of the printed table that `found` has."""
    return [metric for metric in SHORT if any(line.metric == metric for line in found)]


def head(study: Study, found: Sequence[Line]) -> list[str]:
    """Return the column names of the table."""
    columns = ["Images", "Variant"] if study.parts else ["Variant"]
    for metric in shown(found):
        columns += [wording.title(metric), *(["difference"] if study.reference else [])]
    return columns


def body(study: Study, found: Sequence[Line]) -> list[list[str]]:
    """Return the table's cells: one row per subset of the images and variant."""
    by_key = {(line.part, line.variant, line.metric): line for line in found}
    rows = []
    for part, variant in dict.fromkeys((line.part, line.variant) for line in found):
        row = [part, study.variants[variant]] if study.parts else [study.variants[variant]]
        for metric in shown(found):
            line = by_key.get((part, variant, metric))
            row += [value(line), *([gain(line)] if study.reference else [])]
        rows.append(row)
    return rows


def value(line: Line | None) -> str:
    """Format a figure with spread and interval; a dash if it is absent."""
    if line is None:
        return "–"
    over = line.sd_seeds if line.sd_folds is None else line.sd_folds
    sd = over if line.part == ALL else None
    return wording.spread(line.value, line.low, line.high, sd)


def gain(line: Line | None) -> str:
    """Format a difference with its interval; a dash if it is absent, as for the reference."""
    if line is None or line.difference is None:
        return "–"
    low, high = wording.signed(line.difference_low), wording.signed(line.difference_high)
    return f"{wording.signed(line.difference)} ({low} to {high})"


def legend(study: Study) -> str:
    """Legend of the table."""
    over = [name for name in ("fold", "seed") if len({getattr(c, name) for c in study.cells}) > 1]
    about = LEGEND + (SPREAD.format(over=f"{over[0]}s") if over else "")
    if study.reference is None:
        return about
    return f"{about} {DIFFERENCE.format(reference=study.variants[study.reference])}"


def markdown(study: Study, found: Sequence[Line], setting: str) -> str:
    """Format the table in Markdown, with title, setting, legend and notes."""
    parts = [
        f"# {study.title}",
        f"{study.question} {setting}",
        markdown_table(head(study, found), body(study, found)),
        " ".join((legend(study), *study.facts)),
        "\n".join(f"- {note}" for note in study.notes),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows of cells as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(study: Study, found: Sequence[Line], setting: str) -> str:
    """Format the table in LaTeX; it needs the package booktabs."""
    columns = head(study, found)
    text = sum(name in {"Images", "Variant"} for name in columns)
    rows = [[cell.translate(_TEX) for cell in row] for row in body(study, found)]
    table = pd.DataFrame(rows, columns=[name.translate(_TEX) for name in columns])
    return table.style.hide(axis="index").to_latex(
        caption=f"{study.title}. {setting} {legend(study)}".translate(_TEX),
        column_format="l" * text + "r" * (len(columns) - text),
        hrules=True,
    )


_TEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "%&_#${}"}
    | {"\\": r"\textbackslash{}", "−": "$-$", "±": r"$\pm$", "–": "--", "×": r"$\times$", "’": "'"}
)


STYLE = Path(__file__).parents[1] / "report" / "templates" / "report.css"
_DOTS = ("c1", "c2", "c3", "c4")


def render(
    study: Study, found: Sequence[Line], folds: Sequence[FoldLine], setting: str, data: str
) -> tuple[str, dict[str, str]]:
    """Render the page, and return its charts by name as SVG files.

    `found`: the table's lines. `folds`: figures of each fold and seed. `setting`: sentence on
    images, folds, seeds and network. `data`: name of the data set.
    """
    plots = _plots(study, found, folds)
    page = fill(
        __file__,
        "study.html.j2",
        study=study,
        setting=setting,
        data=data,
        head=head(study, found),
        body=body(study, found),
        legend=legend(study),
        every=[line for line in found if line.value is not None],
        words=wording,
        gain=gain,
        plots=plots.values(),
        style=STYLE.read_text(encoding="utf-8"),
    )
    return page, {name: standalone(plot.svg) for name, plot in plots.items()}


def _plots(study: Study, found: Sequence[Line], folds: Sequence[FoldLine]) -> Mapping[str, Plot]:
    plots: dict[str, Plot] = {}
    for metric in shown(found):
        if study.steps:
            plots[f"curve_{metric}"] = _curve(study, found, metric)
        elif study.reference is None:
            plots[f"folds_{metric}"] = _folds(folds, metric)
        elif rows := _rows(study, found, metric):
            plots[f"forest_{metric}"] = _forest(study, rows, metric)
    return plots


def _rows(study: Study, found: Sequence[Line], metric: str) -> list[ForestRow]:
    rows = []
    for line in found:
        low, high = line.difference_low, line.difference_high
        if line.metric != metric or line.difference is None or low is None or high is None:
            continue
        label = study.variants[line.variant] if line.part == ALL else line.part
        rows.append(ForestRow(label, line.difference, low, high, gain(line)))
    return rows


def _forest(study: Study, rows: Sequence[ForestRow], metric: str) -> Plot:
    name, against = wording.title(metric), study.variants[study.reference or ""]
    svg = forest_plot(f"{name}, differences", f"minus {against}", rows)
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
    said = "Figure of each fold’s images alone, without an interval."
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


class CellLine(Made):
    """A row of cells.csv: where and when a run was computed."""

    variant: str
    fold: int
    seed: int


def publish(
    study: Study,
    rows: pd.DataFrame,
    made: Sequence[Made],
    bench: StudyContext,
    folder: Path,
    *,
    about: str | None = None,
) -> list[Line]:
    """Write all files of the study and return the lines of its table.

    All files but cells.csv depend on the rows alone: equal rows give equal bytes. `made`: record of
    each run's computation, in order. `about`: sentence on the setting; None: its own.
    """
    params = study.cells[0].params
    found, folds = lines(study, rows, params.evaluate), fold_lines(study, rows)
    about = about or setting(study, bench)
    names = [*KEY, *columns(params.data.classes)]
    write_table(folder / "per_image.csv", names, records(rows))
    write_rows(folder / "table.csv", Line, found)
    write_rows(folder / "folds.csv", FoldLine, folds)
    cells = (
        CellLine(variant=c.variant, fold=c.fold + 1, seed=c.seed, **one.model_dump())
        for c, one in zip(study.cells, made, strict=True)
    )
    write_rows(folder / "cells.csv", CellLine, cells)
    write_text(folder / "table.md", markdown(study, found, about))
    write_text(folder / "table.tex", latex(study, found, about))
    page, plots = render(study, found, folds, about, bench.workspace.data)
    write_text(folder / "index.html", page)
    for name, svg in plots.items():
        write_text(folder / f"{name}.svg", svg)
    return found


def setting(study: Study, bench: StudyContext) -> str:
    """Format images, folds, seeds and network in two sentences, for caption and page."""
    cell, size = study.cells[0], study.size
    there = [e for e, side in zip(bench.store.entries, cell.sides, strict=True) if side != "out"]
    groups = len({entry.group for entry in there})
    splits = "train, val and test" if size.everything else "train and val"
    kinds = {(one.params.model, one.params.train.all_epochs) for one in study.cells}
    reference = "Reference: " if len(kinds) > 1 else ""
    return (
        f"{cell.params.data.name}, {splits}: {counted(len(there), 'image')} in "
        f"{counted(groups, 'group')}, {size.folds} folds, {counted(size.seeds, 'seed')}. "
        f"{reference}{network(study)}"
    )


def network(study: Study) -> str:
    """Format the first run's network, its input and its training in a sentence."""
    params = study.cells[0].params
    many = params.train.members
    return (
        f"{params.model.encoder}, {_start(params.model)}, gate {params.model.gate}, "
        f"{params.prepare.side} px, {counted(params.train.epochs, 'epoch')}"
        f"{f', mean of {many} networks' * (many > 1)}."
    )


def _start(model: Model) -> str:
    """Format the origin of the initial weights."""
    if isinstance(model.encoder_weights, File):
        return f"weights from {model.encoder_weights.path}"
    return "random weights" if model.encoder_weights == "none" else "ImageNet weights"


def records(rows: pd.DataFrame) -> list[dict[str, object]]:
    """Convert rows for `write_table`; a missing value is an empty cell."""
    clean = rows.astype(object).where(rows.notna(), "")
    return [{str(key): value for key, value in row.items()} for row in clean.to_dict("records")]
