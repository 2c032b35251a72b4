"""Align and compare two evaluations of the same images, and render the page."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import pandas as pd

from hgmnet.config.evaluation import Evaluate
from hgmnet.config.model import Model
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.evaluation.figures import compare, figures
from hgmnet.evaluation.per_image import columns
from hgmnet.metrics.bootstrap import Figure, Paired
from hgmnet.metrics.catalogue import higher_is_better
from hgmnet.pages.html import fill
from hgmnet.splitting.split_lock import test_sha
from pipelines.report import text

FILE = "per_image.csv"
_WITHIN = (FILE, f"evaluation/{FILE}", f"reports/evaluation/{FILE}")
_NEEDED = ("image", "pixel_sha256", "label", "group", "split")


@dataclass(frozen=True, eq=False)
class AlignedPair:
    """Rows of two per_image.csv on `split`; row i of both is the same picture."""

    split: str
    sha: str
    first: pd.DataFrame
    second: pd.DataFrame


def find_file(path: Path) -> Path | None:
    """Path of the per_image.csv: the file itself, or in a run's, reports or evaluation folder."""
    if path.is_file():
        return path
    return next((path / name for name in _WITHIN if (path / name).is_file()), None)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a per_image.csv; InvalidDataError if not readable, without a column or without rows."""
    try:
        table = pd.read_csv(path, dtype={"pixel_sha256": str, "group": str, "image": str})
    except (ValueError, OSError) as error:
        raise InvalidDataError(f"{path} is not a readable {FILE}: {error}") from None
    absent = [name for name in _NEEDED if name not in table]
    if absent or table.empty:
        said = f"it lacks the columns {', '.join(absent)}" if absent else "it has no rows"
        raise InvalidDataError(f"{path} is not the {FILE} of an evaluation: {said}")
    return table


def pair(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> AlignedPair:
    """Align the rows of two per_image.csv on test if both were evaluated on it, else on val.

    `names`: of the two, for messages.

    Raises:
        ConfigError: the two were not evaluated on the same images.
    """
    both = set(first["split"]) & set(second["split"])
    split = next((name for name in ("test", "val") if name in both), None)
    if split is None:
        raise ConfigError(f"{names[0]} and {names[1]} share no split: evaluate both on val or test")
    sides = [_in_order(table, split) for table in (first, second)]
    shas = [test_sha(zip(t["pixel_sha256"], t["label"], strict=True)) for t in sides]
    if shas[0] != shas[1]:
        pixels = [set(table["pixel_sha256"]) for table in sides]
        raise ConfigError(
            f"{names[0]} and {names[1]} were evaluated on different {split} images: "
            f"{shas[0][:12]} is not {shas[1][:12]}; {len(pixels[0] & pixels[1])} pictures are "
            f"common, {len(pixels[0] - pixels[1])} and {len(pixels[1] - pixels[0])} are not. "
            "Evaluate both on today's split: dvc repro evaluate, with each model in turn"
        )
    ours, theirs = sides
    return AlignedPair(
        split, shas[0], ours, theirs.assign(image=ours["image"], group=ours["group"])
    )


def _in_order(table: pd.DataFrame, split: str) -> pd.DataFrame:
    part = table[table["split"] == split]
    return part.sort_values(["pixel_sha256", "label", "image"]).reset_index(drop=True)


DICE_APART = 0.2
"""A larger difference in lesion Dice is a disagreement."""


@dataclass(frozen=True)
class ComparedRow:
    """A metric of both models and second minus first; `better`: first, second or neither."""

    metric: str
    first: Figure
    second: Figure
    paired: Paired
    better: str


@dataclass(frozen=True)
class RecordedAnswer:
    """One model's output for one image; `prob`: of the class `decision`. None: it has none."""

    decision: str
    prob: float | None
    dice: float | None


@dataclass(frozen=True)
class Disagreement:
    """An image on which the models differ in decision, or in Dice by more than 0.2."""

    image: str
    label: str
    first: RecordedAnswer
    second: RecordedAnswer
    why: str


@dataclass(frozen=True)
class AlignedComparison:
    """Result of the comparison; `images`: number of images compared."""

    split: str
    sha: str
    images: int
    groups: int
    rows: tuple[ComparedRow, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def beyond(self) -> int:
        """Number of figures with a significant difference."""
        return sum(row.better != "neither" for row in self.rows)


def compare_aligned(pair: AlignedPair, template: Model, evaluate: Evaluate) -> AlignedComparison:
    """Compare two aligned evaluations with the bootstrap of the evaluation.

    `template`: settings of any model; the tasks of both are read from the rows.
    """
    classes = [
        name.removeprefix("prob_") for name in map(str, pair.first) if name.startswith("prob_")
    ]
    model = _learnt(pair, template)
    first, second = (_filled(table, classes, model) for table in (pair.first, pair.second))
    differences = compare(first, second, classes, evaluate.draws, evaluate.seed, model=model)
    sides = [
        figures(table, classes, evaluate.draws, evaluate.seed, model=model)
        for table in (first, second)
    ]
    rows = tuple(
        ComparedRow(
            name,
            sides[0][name],
            sides[1][name],
            differences[name],
            _better(name, differences[name]),
        )
        for name in text.ordered(differences)
    )
    return AlignedComparison(
        split=pair.split,
        sha=pair.sha,
        images=len(first),
        groups=first["group"].nunique(),
        rows=rows,
        disagreements=tuple(_disagreements(first, second)),
    )


def _learnt(pair: AlignedPair, template: Model) -> Model:
    """Model settings with the tasks that both models learned."""
    masks, classes = (_both_have(pair, "tp"), _both_have(pair, "decision", "prob_malignant"))
    tasks = "joint" if masks and classes else "segmentation" if masks else "classification"
    coarse = masks and _both_have(pair, "coarse_tp")
    return template.model_copy(update={"tasks": tasks, "coarse": coarse})


def _both_have(pair: AlignedPair, *names: str) -> bool:
    tables = (pair.first, pair.second)
    return all(name in table and table[name].notna().any() for table in tables for name in names)


def _filled(table: pd.DataFrame, classes: Sequence[str], model: Model) -> pd.DataFrame:
    """Add the columns that an older version lacks, empty; without masks drop the counts."""
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
    """Yield disagreements by falling difference in Dice, then by image."""
    found = []
    for ours, theirs in zip(first.to_dict("records"), second.to_dict("records"), strict=True):
        one, other = _answer(ours), _answer(theirs)
        apart = abs((one.dice or 0.0) - (other.dice or 0.0))
        why = ["decision"] * (one.decision != other.decision) + ["Dice"] * (apart > DICE_APART)
        if why:
            said = Disagreement(ours["image"], ours["label"], one, other, " and ".join(why))
            found.append((-apart, ours["image"], said))
    yield from (said for *_, said in sorted(found, key=lambda item: item[:2]))


def _answer(row: Mapping[Hashable, object]) -> RecordedAnswer:
    decision = str(row.get("decision"))
    prob = _number(row.get(f"prob_{decision}"))
    tp, fp, fn = (_number(row.get(name)) or 0.0 for name in ("tp", "fp", "fn"))
    return RecordedAnswer(decision, prob, 2 * tp / (2 * tp + fp + fn) if tp + fn else None)


def _number(value: object) -> float | None:
    return None if not isinstance(value, int | float) or isnan(value) else float(value)


SHORT = (*text.HEADLINES, "coarse_lesion_dice", "hd95")
"""Metrics for the terminal; absent ones are left out."""
_STYLE = Path(__file__).parent / "templates" / "report.css"


def render(comparison: AlignedComparison, names: tuple[str, str], data: str) -> str:
    """Render the HTML page; equal arguments give equal text."""
    return fill(
        __file__,
        "compare.html.j2",
        comparison=comparison,
        names=names,
        data=data,
        words=text,
        said=said,
        style=_STYLE.read_text(encoding="utf-8"),
    )


def short(comparison: AlignedComparison, names: tuple[str, str]) -> str:
    """Format the main figures and the number of disagreements for the terminal."""
    first, second = names
    head = ("figure", first, second, "difference", "95 % interval", "better")
    shown = [row for row in comparison.rows if row.metric in SHORT]
    count = len(comparison.disagreements)
    decisions = sum("decision" in one.why for one in comparison.disagreements)
    return "\n".join(
        [
            f"{comparison.images} {comparison.split} images, {comparison.groups} groups",
            "",
            *text.aligned([head, *(_cells(row, names) for row in shown)]),
            "",
            f"the models disagree on {count} images, in the decision on {decisions}",
        ]
    )


def said(row: ComparedRow, names: tuple[str, str]) -> str:
    """Name of the better model, or `not significant`."""
    return {"first": names[0], "second": names[1], "neither": "not significant"}[row.better]


def _cells(row: ComparedRow, names: tuple[str, str]) -> tuple[str, ...]:
    return (
        text.title(row.metric),
        text.number(row.first.value),
        text.number(row.second.value),
        text.signed(row.paired.difference),
        f"{text.signed(row.paired.low)} to {text.signed(row.paired.high)}",
        said(row, names),
    )
