"""How often models of known quality pass a gate: `python benchmarks/gate.py [profile ...]`.

Test sets as large as BUSI's, in its groups (data/busi/split.csv), are drawn for models whose true
lesion Dice and accuracy are known, and go through the real figures and the real judgement. Lesions
are missed (Dice 0) in 4 of 100, the other Dice are beta distributed, so that the standard deviation
is the 0.26 of BUSI's interval in docs/results.md; images of one group resemble one another
(correlation 0.5). Every class is told equally well. Prints Markdown.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta, norm

from hgmnet.config.evaluation import Check, Where
from hgmnet.config.params import load_params
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Subgroup
from pipelines.gate.checks import Figures, evaluate_check, verdict

ROOT = Path(__file__).resolve().parents[1]
PROFILES = (ROOT / "profiles/busi.yaml", ROOT / "profiles/busi-cpu-scratch.yaml")
DICE = (0.66, 0.70, 0.72, 0.7431, 0.76, 0.78, 0.80, 0.82)
ACCURACY = (0.70, 0.80, 0.85, 0.88, 0.90, 0.92)
MISSED, SPREAD, ALIKE = 0.04, 2.7, 0.5
PIXELS = 10_000
"""Of every lesion."""
CLASSES = ("benign", "malignant", "normal")
SUBGROUP = Where(column="lesion_size", value="small")
FEW = 37
"""BUSI's small lesions in the test split."""

Floats = NDArray[np.float64]
Sets = list[Figures]
Measured = partial[dict[str, Figure]]


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profiles", nargs="*", type=Path, default=PROFILES)
    parser.add_argument("--sets", type=int, default=1000, help="test sets a quality")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    args = parser.parse_args()
    start = time.perf_counter()
    params = load_params(args.profiles[0])
    rows = pd.read_csv(ROOT / "data/busi/split.csv")
    rows = rows[rows["status"] == "test"].reset_index(drop=True)
    lesions = int((rows["label"] != "normal").sum())
    print(
        f"{len(rows)} images in {rows['group'].nunique()} groups, {lesions} of them with a lesion"
    )
    measured = partial(figures, classes=CLASSES, draws=args.draws, seed=0, model=params.model)
    tables = partial(_tables, rows, args.sets)
    by_dice = {d: [_overlap(table, measured) for table in tables(d, 0.9)] for d in DICE}
    by_accuracy = {a: [_classes(table, measured) for table in tables(0.8, a)] for a in ACCURACY}
    for profile in args.profiles:
        checks = load_params(profile).gate.checks
        print(f"\nPassed the gate of profiles/{profile.name}, %:\n")
        print("\n".join(_grid(checks, by_dice, by_accuracy)))
    print("\nPassed lesion Dice ≥ 0.7431 alone, %:\n")
    print("\n".join(_ends(by_dice)))
    print("\nPassed by a model of lesion Dice 0.78 and accuracy 0.88, %:\n")
    print("\n".join(_added(_joined(by_dice[0.78], by_accuracy[0.88]))))
    print(f"\n{args.sets} test sets a cell, {time.perf_counter() - start:.0f} s")


def _tables(rows: pd.DataFrame, count: int, dice: float, accuracy: float) -> Iterator[pd.DataFrame]:
    """Test sets of a model of this quality."""
    generator = np.random.default_rng([round(dice * 10_000), round(accuracy * 10_000)])
    for _ in range(count):
        yield _table(rows, dice, accuracy, generator)


def _table(
    rows: pd.DataFrame, dice: float, accuracy: float, generator: np.random.Generator
) -> pd.DataFrame:
    """A made-up per_image.csv."""
    group = np.unique(rows["group"], return_inverse=True)[1]
    table = pd.DataFrame(0, index=rows.index, columns=columns(CLASSES))
    label = rows["label"].to_numpy(dtype=str)
    overlap = _dice(_alike(group, generator), dice) * (label != "normal")
    found = np.round(overlap * PIXELS).astype(int)
    lost = (PIXELS - found) * (label != "normal")
    right = _alike(group, generator) < accuracy
    others = [[name for name in CLASSES if name != said] for said in label]
    wrong = np.array([generator.choice(names) for names in others])
    told = np.where(right, label, wrong)
    return table.assign(
        group=rows["group"], label=label, predicted=told, decision=told, tp=found, fp=lost, fn=lost
    )


def _alike(group: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    """A uniform number an image, correlated within groups (a Gaussian copula)."""
    shared = generator.standard_normal(group.max() + 1)[group]
    own = generator.standard_normal(len(group))
    return np.asarray(norm.cdf(np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * own))


def _dice(uniform: Floats, mean: float) -> Floats:
    """Dice with this mean: missed, or beta distributed."""
    hit = mean / (1 - MISSED)
    share = np.clip((uniform - MISSED) / (1 - MISSED), 0, 1)
    return np.where(uniform < MISSED, 0, beta.ppf(share, hit * SPREAD, (1 - hit) * SPREAD))


def _overlap(table: pd.DataFrame, measured: Measured) -> Figures:
    only = ("lesion_dice",)
    part = measured(table[table["label"] != "normal"].iloc[:FEW], only=only)
    subgroup = Subgroup(column=SUBGROUP.column, value=SUBGROUP.value, figures=part)
    return Figures(measured(table, only=only), (subgroup,))


def _classes(table: pd.DataFrame, measured: Measured) -> Figures:
    return Figures(measured(table, only=("accuracy", "sensitivity_malignant")), ())


def _joined(by_dice: Sets, by_accuracy: Sets) -> Sets:
    """Masks of the first, classes of the second: they are drawn independently."""
    pairs = zip(by_dice, by_accuracy, strict=True)
    return [Figures({**(a.all or {}), **(b.all or {})}, a.subgroups) for a, b in pairs]


def _share(checks: Sequence[Check], sets: Sets) -> str:
    passed = [
        verdict(one, [evaluate_check(c, one) for c in checks], ()) == "passed" for one in sets
    ]
    return f"{100 * np.mean(passed):.0f}"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _grid(
    checks: Sequence[Check], by_dice: dict[float, Sets], by_accuracy: dict[float, Sets]
) -> Iterator[str]:
    yield _row(["true lesion Dice", *(f"accuracy {a:.2f}" for a in by_accuracy)])
    yield _row(["---"] * (len(by_accuracy) + 1))
    for dice, sets in by_dice.items():
        cells = [_share(checks, _joined(sets, other)) for other in by_accuracy.values()]
        yield _row([f"{dice:g}", *cells])


def _ends(by_dice: dict[float, Sets]) -> Iterator[str]:
    yield _row(["true lesion Dice", *(f"{dice:g}" for dice in by_dice)])
    yield _row(["---"] * (len(by_dice) + 1))
    for on in ("point", "conservative"):
        check = Check(metric="lesion_dice", bound=0.7431, on=on, where="all", min_n=60)
        yield _row([f"on: {on}", *(_share([check], sets) for sets in by_dice.values())])


def _added(sets: Sets) -> Iterator[str]:
    """One check after the other."""
    asked = (
        Check(metric="lesion_dice", bound=0.75, on="point", where="all", min_n=60),
        Check(metric="accuracy", bound=0.85, on="point", where="all", min_n=60),
        Check(metric="sensitivity_malignant", bound=0.85, on="point", where="all", min_n=30),
        Check(metric="lesion_dice", bound=0.75, on="point", where=SUBGROUP, min_n=30),
    )
    yield _row(["checks", "the last one alone", "all so far"])
    yield _row(["---"] * 3)
    for count, last in enumerate(asked, start=1):
        of = f", {FEW} images of a subgroup" if last.subgroup else ""
        name = f"{'' if count == 1 else '+ '}{last.metric} ≥ {last.bound:g}{of}"
        yield _row([name, _share([last], sets), _share(asked[:count], sets)])


if __name__ == "__main__":
    main()
