"""What a study leaves in reports/studies/<name>: rows, tables and a page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hgmnet.config import File, Model
from hgmnet.evaluation import columns
from pipelines.files import write_rows, write_table, write_text
from pipelines.studies import tables
from pipelines.studies.cell import Bench
from pipelines.studies.design import Study
from pipelines.studies.fitting import KEY, Made
from pipelines.studies.pace import counted
from pipelines.studies.page import render
from pipelines.studies.summary import FoldLine, Line, fold_lines, lines


class CellLine(Made):
    """A row of cells.csv: where and when a cell was computed."""

    variant: str
    fold: int
    seed: int


def publish(
    study: Study,
    rows: pd.DataFrame,
    made: Sequence[Made],
    bench: Bench,
    folder: Path,
    *,
    told: str | None = None,
) -> list[Line]:
    """Write everything; the lines of the table.

    All but cells.csv follows from the rows alone: the same rows give the same bytes.

    Args:
        study: what was asked.
        rows: of all cells.
        made: how each cell came about, in order.
        bench: the images.
        folder: where to write.
        told: what it is of, in words; None: folds, seeds and network.
    """
    params = study.cells[0].params
    found, folds = lines(study, rows, params.evaluate), fold_lines(study, rows)
    told = told or setting(study, bench)
    names = [*KEY, *columns(params.data.classes)]
    write_table(folder / "per_image.csv", names, _records(rows))
    write_rows(folder / "table.csv", Line, found)
    write_rows(folder / "folds.csv", FoldLine, folds)
    write_rows(folder / "cells.csv", CellLine, _cells(study, made))
    write_text(folder / "table.md", tables.markdown(study, found, told))
    write_text(folder / "table.tex", tables.latex(study, found, told))
    page, plots = render(study, found, folds, told, bench.workspace.data)
    write_text(folder / "index.html", page)
    for name, svg in plots.items():
        write_text(folder / f"{name}.svg", svg)
    return found


def setting(study: Study, bench: Bench) -> str:
    """Images, folds, seeds and network in two sentences, for caption and page."""
    cell, size = study.cells[0], study.size
    there = [e for e, side in zip(bench.store.entries, cell.sides, strict=True) if side != "out"]
    groups = len({entry.group for entry in there})
    splits = "train, val and test" if size.everything else "train and val"
    model, train = cell.params.model, cell.params.train
    seeds, epochs = counted(size.seeds, "seed"), counted(train.epochs, "epoch")
    return (
        f"{cell.params.data.name}, {splits}: {counted(len(there), 'image')} in "
        f"{counted(groups, 'group')}, "
        f"{size.folds} folds, {seeds}. {model.encoder}, {_start(model)}, gate {model.gate}, "
        f"{cell.params.prepare.side} px, {epochs}."
    )


def _start(model: Model) -> str:
    """Where its weights begin."""
    if isinstance(model.encoder_weights, File):
        return f"weights from {model.encoder_weights.path}"
    return "random weights" if model.encoder_weights == "none" else "ImageNet weights"


def _records(rows: pd.DataFrame) -> list[dict[str, object]]:
    clean = rows.astype(object).where(rows.notna(), "")
    return [{str(key): value for key, value in row.items()} for row in clean.to_dict("records")]


def _cells(study: Study, made: Sequence[Made]) -> list[CellLine]:
    return [
        CellLine(variant=c.variant, fold=c.fold + 1, seed=c.seed, **one.model_dump())
        for c, one in zip(study.cells, made, strict=True)
    ]
