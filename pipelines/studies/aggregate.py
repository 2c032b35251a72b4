"""Aggregate a study's rows into the lines of its table."""

from collections.abc import Iterator, Sequence
from statistics import stdev
from typing import Any

import pandas as pd

from hgmnet.config.base import Frozen
from hgmnet.config.evaluation import Evaluate
from hgmnet.config.model import Model
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.repeated_runs import RepeatedMetric, averaged, difference, repeated
from pipelines.studies.definition import METRICS, Study

ALL = "all images"


class Line(Frozen):
    """A figure of one variant, over all folds, and its difference from the reference.

    `value`: mean over seeds of the figure of all folds pooled; `low`, `high`: its 95 % interval by
    groups. `sd_folds`: standard deviation over folds of the fold's mean over seeds. `sd_seeds`:
    over seeds, of the pooled figure. `difference`: minus the reference, paired by image, with its
    95 % interval; `sees`: gain that this sample size detects with a power of 80 %.
    """

    part: str
    variant: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    sd_folds: float | None
    sd_seeds: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    sees: float | None
    images: int
    groups: int


class FoldLine(Frozen):
    """A figure of one variant, fold and seed, without an interval."""

    variant: str
    fold: int
    seed: int
    metric: str
    value: float | None
    images: int


def lines(study: Study, rows: pd.DataFrame, evaluate: Evaluate) -> list[Line]:
    """Compute the lines of the study's table from rows of per_image.csv with their run's key.

    Raises:
        InvalidDataError: variants or seeds were evaluated on different images.
    """
    found: list[Line] = []
    for name, part in _parts(study, rows):
        measured = {v: _measured(study, part, v) for v in study.variants}
        reference = measured.get(study.reference or "", {})
        for variant, figures in measured.items():
            known = reference if variant != study.reference else {}
            spreads = _spreads(study, part, variant)
            for metric in (name for name in METRICS if name in figures):
                line = _line(figures[metric], known.get(metric), evaluate)
                spread = spreads.get(metric)
                found.append(
                    Line(part=name, variant=variant, metric=metric, sd_folds=spread, **line)
                )
    return found


def fold_lines(study: Study, rows: pd.DataFrame) -> list[FoldLine]:
    """Compute the figures of each run: one line per variant, fold, seed and metric."""
    found = []
    for _, frame in rows.groupby(["variant", "fold", "seed"], sort=False):
        table = frame.reset_index(drop=True)
        variant, model = str(table["variant"][0]), _model(study, str(table["variant"][0]))
        for metric, figure in repeated([table], _classes(study), model, METRICS).items():
            (value,) = figure.values
            found.append(
                FoldLine(
                    variant=variant,
                    fold=int(table["fold"][0]),
                    seed=int(table["seed"][0]),
                    metric=metric,
                    value=_finite(value),
                    images=len(figure.rows),
                )
            )
    return found


def _parts(study: Study, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    _same_images(study, rows)
    yield ALL, rows
    for part in study.parts:
        yield part.name, rows[rows["image"].isin(part.images)]


def _same_images(study: Study, rows: pd.DataFrame) -> None:
    """Check that every variant and seed evaluated each image once."""
    judged = [sorted(part["image"]) for _, part in rows.groupby(["variant", "seed"])]
    if any(names != sorted(set(judged[0])) for names in judged):
        raise InvalidDataError(
            f"study {study.name}: variants differ in images; remove .hgmnet/studies/rows and rerun"
        )


def _measured(study: Study, part: pd.DataFrame, variant: str) -> dict[str, RepeatedMetric]:
    frame = part[part["variant"] == variant]
    if frame.empty:
        return {}
    tables = [
        table.sort_values("image", kind="stable").reset_index(drop=True)
        for _, table in frame.groupby("seed", sort=True)
    ]
    return repeated(tables, _classes(study), _model(study, variant), METRICS)


def _line(
    found: RepeatedMetric, other: RepeatedMetric | None, evaluate: Evaluate
) -> dict[str, Any]:
    """Compute the columns of a line; the difference is None without `other`."""
    draws, seed = evaluate.draws, evaluate.seed
    figure = averaged(found, draws, seed)
    gain = difference(other, found, draws, seed) if other else None
    return {
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "sd_seeds": _sd(found.values),
        "difference": gain.difference if gain else None,
        "difference_low": gain.low if gain else None,
        "difference_high": gain.high if gain else None,
        "sees": gain.sees if gain else None,
        "images": figure.n,
        "groups": figure.groups,
    }


def _spreads(study: Study, part: pd.DataFrame, variant: str) -> dict[str, float | None]:
    """Standard deviation over folds of each figure's mean over seeds."""
    values: dict[str, list[float]] = {}
    for _, fold in part[part["variant"] == variant].groupby("fold", sort=True):
        for metric, found in _measured(study, fold, variant).items():
            values.setdefault(metric, []).append(sum(found.values) / len(found.values))
    return {metric: _sd(known) for metric, known in values.items()}


def _sd(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for a single value or if one is not finite."""
    known = [value for value in values if _finite(value) is not None]
    return stdev(known) if len(known) == len(values) > 1 else None


def _model(study: Study, variant: str) -> Model:
    return next(cell.params.model for cell in study.cells if cell.variant == variant)


def _classes(study: Study) -> Sequence[str]:
    return study.cells[0].params.data.classes


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
