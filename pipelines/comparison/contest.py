"""Two aligned evaluations compared: every figure paired, and the images on which they disagree."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd

from hgmnet.config import Evaluate, Model
from hgmnet.evaluation import columns, compare, figures
from hgmnet.figure import Figure
from hgmnet.metrics import higher_is_better
from hgmnet.statistics import Paired
from pipelines.comparison.sides import Pair
from pipelines.report import wording

DICE_APART = 0.2
"""A larger difference of lesion Dice is a disagreement."""


@dataclass(frozen=True)
class Row:
    """A figure of both, and second minus first; `better`: first, second, neither."""

    metric: str
    first: Figure
    second: Figure
    paired: Paired
    better: str


@dataclass(frozen=True)
class Answer:
    """What one model says of one image; `prob`: of its decision; None where it does not tell."""

    decision: str
    prob: float | None
    dice: float | None


@dataclass(frozen=True)
class Disagreement:
    """An image on which the two differ in decision, or in Dice by more than 0.2."""

    image: str
    label: str
    first: Answer
    second: Answer
    why: str


@dataclass(frozen=True)
class Contest:
    """All of it; `images`: how many were compared, `beyond`: figures that are told apart."""

    split: str
    sha: str
    images: int
    groups: int
    rows: tuple[Row, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def beyond(self) -> int:
        """How many figures are told apart."""
        return sum(row.better != "neither" for row in self.rows)


def contest(pair: Pair, template: Model, evaluate: Evaluate) -> Contest:
    """Compare on the bootstrap's draws and seed that evaluation uses.

    Args:
        pair: the two, aligned.
        template: any model's settings; what both learn is read off the rows.
        evaluate: draws and seed.
    """
    classes = [
        name.removeprefix("prob_") for name in map(str, pair.first) if name.startswith("prob_")
    ]
    model = _learnt(pair, template)
    first, second = (_filled(table, classes, model) for table in (pair.first, pair.second))
    told = compare(first, second, classes, evaluate.draws, evaluate.seed, model=model)
    sides = [
        figures(table, classes, evaluate.draws, evaluate.seed, model=model)
        for table in (first, second)
    ]
    rows = tuple(
        Row(name, sides[0][name], sides[1][name], told[name], _better(name, told[name]))
        for name in wording.ordered(told)
    )
    return Contest(
        split=pair.split,
        sha=pair.sha,
        images=len(first),
        groups=first["group"].nunique(),
        rows=rows,
        disagreements=tuple(_disagreements(first, second)),
    )


def _learnt(pair: Pair, template: Model) -> Model:
    """What both models tell, as settings."""
    masks, classes = (_both_have(pair, "tp"), _both_have(pair, "decision", "prob_malignant"))
    tasks = "joint" if masks and classes else "segmentation" if masks else "classification"
    coarse = masks and _both_have(pair, "coarse_tp")
    return template.model_copy(update={"tasks": tasks, "coarse": coarse})


def _both_have(pair: Pair, *names: str) -> bool:
    tables = (pair.first, pair.second)
    return all(name in table and table[name].notna().any() for table in tables for name in names)


def _filled(table: pd.DataFrame, classes: Sequence[str], model: Model) -> pd.DataFrame:
    """With the columns that an older version's rows lack, empty; without masks no counts."""
    names = dict.fromkeys([*table.columns, *columns(classes)])
    if not model.segments:
        names = dict.fromkeys(name for name in names if not name.endswith(("tp", "fp", "fn", "tn")))
    return table.reindex(columns=list(names))


def _better(metric: str, difference: Paired) -> str:
    up = higher_is_better(metric)
    if difference.low > 0:
        return "second" if up else "first"
    if difference.high < 0:
        return "first" if up else "second"
    return "neither"


def _disagreements(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Disagreement]:
    """The largest differences of Dice first, then by image."""
    found = []
    for ours, theirs in zip(first.to_dict("records"), second.to_dict("records"), strict=True):
        one, other = _answer(ours), _answer(theirs)
        apart = abs((one.dice or 0.0) - (other.dice or 0.0))
        why = ["decision"] * (one.decision != other.decision) + ["Dice"] * (apart > DICE_APART)
        if why:
            said = Disagreement(ours["image"], ours["label"], one, other, " and ".join(why))
            found.append((-apart, ours["image"], said))
    yield from (said for *_, said in sorted(found, key=lambda item: item[:2]))


def _answer(row: Mapping[Hashable, object]) -> Answer:
    decision = str(row.get("decision"))
    prob = _number(row.get(f"prob_{decision}"))
    tp, fp, fn = (_number(row.get(name)) or 0.0 for name in ("tp", "fp", "fn"))
    return Answer(decision, prob, 2 * tp / (2 * tp + fp + fn) if tp + fn else None)


def _number(value: object) -> float | None:
    return None if not isinstance(value, int | float) or isnan(value) else float(value)
