"""The table of a seed study: each seed, their mean and spread, and the ensemble."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev

import pandas as pd

from hgmnet.config import Evaluate, Frozen
from hgmnet.evaluation import figures
from hgmnet.models.spec import Spec
from pipelines.report import network, wording

METRICS = ("lesion_dice", "accuracy")
ENSEMBLE, MEAN = "ensemble", "mean"
_LEGEND = (
    "In brackets the 95 % interval by groups: other images of the same kind. ± is the standard "
    "deviation over seeds: the same images, another training."
)
_UNCHANGED = (
    "The version that `dvc repro` registers is the pre-declared first seed, {seed} (train.seed), "
    "whatever the others show. This study registers and promotes nothing."
)


class Cell(Frozen):
    """A figure of one member on one split, with its 95 % interval by groups.

    `member`: `seed <n>`, `mean` or `ensemble`. `sd`: over seeds, of the mean alone.
    """

    split: str
    member: str
    metric: str
    value: float | None
    sd: float | None
    low: float | None
    high: float | None
    images: int
    groups: int


def cells(tables: Mapping[str, pd.DataFrame], spec: Spec, evaluate: Evaluate) -> list[Cell]:
    """Every figure of the study.

    The mean's interval is of the mean over seeds: whole groups are drawn, with what every seed said
    of them. It tells of other images; `sd` tells of other seeds.

    Args:
        tables: by member, the seeds in order and the ensemble, rows of per_image.csv.
        spec: of the models.
        evaluate: draws and seed of the bootstrap.
    """
    seeds = {name: table for name, table in tables.items() if name != ENSEMBLE}
    members = {**seeds, MEAN: pd.concat(list(seeds.values())), ENSEMBLE: tables[ENSEMBLE]}
    found: list[Cell] = []
    for split in ("val", "test"):
        for name, table in members.items():
            part = table[table["split"] == split]
            found += _cells(part, split, name, spec, evaluate) if len(part) else []
    return [_spread(cell, found, len(seeds)) for cell in found]


def lines(found: Sequence[Cell], spec: Spec, first: int) -> list[str]:
    """The table in Markdown, with what it is of and what it does not change."""
    facts = dict(network.shape(spec))
    begun = facts["Encoder weights at the start"]
    learnt = [metric for metric in METRICS if any(cell.metric == metric for cell in found)]
    head = ["split", "model", *(wording.title(metric) for metric in learnt)]
    return [
        f"# Seeds on {spec.data}",
        "",
        f"{facts['Encoder']}; weights at the start: {begun}. {_LEGEND}",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in _rows(found, learnt, first)),
        "",
        _UNCHANGED.format(seed=first),
    ]


def _cells(
    part: pd.DataFrame, split: str, member: str, spec: Spec, evaluate: Evaluate
) -> Iterator[Cell]:
    draws, seed = evaluate.draws, evaluate.seed
    measured = figures(part, spec.classes, draws, seed, model=spec.model, only=METRICS)
    for metric, figure in measured.items():
        yield Cell(
            split=split,
            member=member,
            metric=metric,
            value=figure.value,
            sd=None,
            low=figure.low,
            high=figure.high,
            images=part["image"].nunique(),
            groups=figure.groups,
        )


def _spread(cell: Cell, found: Sequence[Cell], seeds: int) -> Cell:
    """The mean with the standard deviation over seeds (n - 1); another cell as it is."""
    same = [c for c in found if (c.split, c.metric) == (cell.split, cell.metric)]
    values = [c.value for c in same if c.member not in {MEAN, ENSEMBLE} and c.value is not None]
    if cell.member != MEAN or len(values) < max(seeds, 2):
        return cell
    return cell.model_copy(update={"value": fmean(values), "sd": stdev(values)})


def _rows(found: Sequence[Cell], learnt: Sequence[str], first: int) -> Iterator[list[str]]:
    by_key = {(cell.split, cell.member, cell.metric): cell for cell in found}
    for split, member in dict.fromkeys((cell.split, cell.member) for cell in found):
        told = {MEAN: "mean of the seeds", f"seed {first}": f"seed {first}, pre-declared first"}
        shown = [_shown(by_key[split, member, metric]) for metric in learnt]
        yield [split, told.get(member, member), *shown]


def _shown(cell: Cell) -> str:
    if cell.value is None or cell.low is None or cell.high is None:
        return "–"
    sd = "" if cell.sd is None else f" ± {cell.sd:.3f}"
    return f"{cell.value:.3f}{sd} ({cell.low:.3f} to {cell.high:.3f})"
