"""Figures of several trainings on the same images: their mean, and the difference of two means.

Groups are drawn once for all repeats, so an interval describes the variation over images. The
standard deviation over repeats describes the variation over seeds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hgmnet.config.model import Model
from hgmnet.evaluation.figures import Task, tasks
from hgmnet.metrics.bootstrap import (
    Figure,
    GroupBootstrap,
    Paired,
    Statistic,
    Values,
    paired,
    whole,
)


@dataclass(frozen=True, eq=False)
class MeanOverRuns:
    """The mean of a statistic over repeats, for weighted rows."""

    repeats: tuple[Statistic, ...]

    def __call__(self, weights: Values) -> Values:
        """Mean for each draw's row weights, equal in every repeat."""
        return np.asarray(np.mean([repeat(weights) for repeat in self.repeats], axis=0))


@dataclass(frozen=True, eq=False)
class RepeatedMetric:
    """A figure's statistic averaged over repeats, and its rows."""

    rows: pd.DataFrame
    proportion: bool
    statistic: MeanOverRuns

    @property
    def groups(self) -> list[str]:
        """Group of each row."""
        return self.rows["group"].astype(str).tolist()

    @property
    def values(self) -> list[float]:
        """Statistic of all rows, one per repeat."""
        return [whole(repeat, len(self.rows)) for repeat in self.statistic.repeats]


def repeated(
    tables: Sequence[pd.DataFrame], classes: Sequence[str], model: Model, only: Collection[str] = ()
) -> dict[str, RepeatedMetric]:
    """Compute every figure that has the same images in each repeat (`pixel_precision` may not).

    `tables`: per_image.csv of each repeat, of the same images, order and index. `only`: names of
    figures; empty: all.
    """
    by_name: dict[str, list[Task]] = {}
    for table in tables:
        for task in tasks(table, classes, model):
            by_name.setdefault(task[0], []).append(task)
    repeats: dict[str, RepeatedMetric] = {}
    for name, found in by_name.items():
        _, rows, proportion, _ = found[0]
        alike = len(found) == len(tables) and all(rows.index.equals(one[1].index) for one in found)
        if alike and (not only or name in only):
            statistic = MeanOverRuns(tuple(task[3] for task in found))
            repeats[name] = RepeatedMetric(rows, proportion, statistic)
    return repeats


def averaged(found: RepeatedMetric, draws: int, seed: int) -> Figure:
    """Mean over repeats with its 95 % interval by groups."""
    bootstrap = GroupBootstrap(found.groups, draws, seed)
    return bootstrap.figure(found.statistic, proportion=found.proportion)


def difference(
    before: RepeatedMetric, after: RepeatedMetric, draws: int, seed: int
) -> Paired | None:
    """Paired difference of two means; None if one is not computed, or they are on other images."""
    names = [side.rows["image"].tolist() for side in (before, after)]
    values = [*before.values, *after.values]
    if names[0] != names[1] or not np.isfinite(values).all():
        return None
    return paired(before.groups, before.statistic, after.statistic, draws, seed)
