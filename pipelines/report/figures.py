"""Charts of the report; each function takes evidence and returns SVG with a caption."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median

import numpy as np
from sklearn.metrics import roc_curve

from hgmnet.calibration.mask_threshold import MaskCurve, MaskPoint
from hgmnet.config.base import MALIGNANT
from pipelines.artifacts.evaluation import Certainty
from pipelines.report.charts import Axis, Chart, decades, linear, unit
from pipelines.report.inputs import EvaluatedImage

Curves = Sequence[Mapping[str, float]]

PANELS = (
    ("Loss", "loss", {"train_loss": "train", "val_loss": "val"}),
    (
        "Lesion Dice on val",
        "Dice",
        {"val_lesion_dice": "fine net", "val_coarse_dice": "coarse net"},
    ),
    ("Accuracy on val", "accuracy", {"val_accuracy": "val"}),
    ("Hierarchical gate", "", {"gate_correlation": "corr(g, P)", "gate_gamma": "mean |γ|"}),
    ("Learning rate", "", {"learning_rate": "rate"}),
)
"""Title, axis label, and the columns of curves.csv with their names in the legend."""

STYLES = ("s1", "s2")
DOTS = ("c1", "c2", "c3", "c4")
BINS = 10


@dataclass(frozen=True)
class Plot:
    """A chart as SVG, with title and caption."""

    title: str
    svg: str
    caption: str


def training_plots(curves: Curves, members: int = 1) -> tuple[Plot, ...]:
    """One chart per panel of `PANELS` that has a recorded column; `curves`: one row per epoch.

    `members`: networks of an ensemble, each with a line of its own.
    """
    found, each = [], max(1, len(curves) // members)
    parts = [curves[start : start + each] for start in range(0, each * members, each)]
    said = f"{members} networks, one after the other; the last at the end: "
    before = said if members > 1 else "At the end: "
    for title, label, columns in PANELS:
        there = {name: said for name, said in columns.items() if any(name in row for row in curves)}
        if there:
            caption = before + _ended(there, curves)
            found.append(Plot(title, _curves(title, label, there, parts), caption))
    return tuple(found)


def class_plots(cases: Sequence[EvaluatedImage]) -> tuple[Plot, ...]:
    """ROC of malignant against the rest, and a reliability diagram."""
    if not cases:
        return ()
    positives = sum(case.label == MALIGNANT for case in cases)
    both = 0 < positives < len(cases)
    return ((_roc(cases, positives),) if both else ()) + (_reliability(cases),)


def lesion_plots(cases: Sequence[EvaluatedImage], *, coarse: bool) -> tuple[Plot, ...]:
    """Lesion size against Dice, and the distribution of Dice; empty if no image has a lesion."""
    lesions = [(case, case.dice) for case in cases if case.dice is not None]
    return (_sizes(lesions), _spread(lesions, coarse=coarse)) if lesions else ()


def confusion(
    cases: Sequence[EvaluatedImage], classes: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Count images by true class (rows) and predicted class (columns), in `classes` order."""
    pairs = [(case.label, case.predicted) for case in cases]
    return tuple(tuple(pairs.count((true, said)) for said in classes) for true in classes)


def roc_corners(cases: Sequence[EvaluatedImage]) -> list[tuple[float, float]]:
    """ROC of malignant as (1 - specificity, sensitivity), ties as one step; needs both kinds."""
    truth = [case.label == MALIGNANT for case in cases]
    scores = [case.probs[MALIGNANT] for case in cases]
    alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    return list(zip(alarms.tolist(), hits.tolist(), strict=True))


def _curves(title: str, label: str, columns: Mapping[str, str], parts: Sequence[Curves]) -> str:
    curves = [row for part in parts for row in part]
    values = [row[name] for row in curves for name in columns if name in row]
    epochs = [row["epoch"] for row in curves]
    chart = Chart(f"{title} by epoch", _epochs(epochs), linear(label, values))
    for (name, said), style in zip(columns.items(), STYLES, strict=False):
        for number, part in enumerate(parts):
            points = [(row["epoch"], row[name]) for row in part if name in row]
            chart.line(points, style, said if len(columns) > 1 and not number else "")
    return chart.svg()


def _epochs(epochs: Sequence[float]) -> Axis:
    around = linear("epoch", epochs)
    low, high = min(epochs), max(epochs)
    if low == high:
        return around
    ticks = tuple(tick for tick in around.ticks if low <= tick <= high and tick == int(tick))
    return Axis("epoch", low, high, ticks)


def _ended(columns: Mapping[str, str], curves: Curves) -> str:
    last = {
        said: [row[name] for row in curves if name in row][-1] for name, said in columns.items()
    }
    return ", ".join(f"{said} {value:.3g}" for said, value in last.items()) + "."


def _roc(cases: Sequence[EvaluatedImage], positives: int) -> Plot:
    negatives = len(cases) - positives
    chart = Chart("ROC of malignant", unit("1 − specificity"), unit("sensitivity"))
    chart.line([(0, 0), (1, 1)], "chance", "chance").line(roc_corners(cases), "s1", "malignant")
    caught = sum(c.label == MALIGNANT == c.decision for c in cases) / positives
    alarmed = sum(c.label != MALIGNANT == c.decision for c in cases) / negatives
    said = f"served: sensitivity {caught:.3f}, specificity {1 - alarmed:.3f}"
    chart.points([(alarmed, caught, said)], "c2").legend("as served", "c2")
    caption = f"{positives} malignant against {negatives} others. The dot is the decision {said}."
    return Plot("ROC of malignant against the rest", chart.svg(), caption)


def _reliability(cases: Sequence[EvaluatedImage]) -> Plot:
    sure = np.array([max(case.probs.values()) for case in cases])
    right = np.array([case.predicted == case.label for case in cases])
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    dots = []
    for inside in (bins == index for index in np.unique(bins)):
        believed, true = float(sure[inside].mean()), float(right[inside].mean())
        counts = f"{inside.sum()} images: {believed:.2f} predicted, {true:.2f} true"
        dots.append((believed, true, counts))
    chart = Chart("Reliability", unit("predicted probability"), unit("fraction correct"))
    chart.line([(0, 0), (1, 1)], "chance", "perfect")
    chart.line([(x, y) for x, y, _ in dots], "s1", "measured").points(dots, "c1")
    caption = "Below the diagonal the network is overconfident. Ten bins of equal width."
    return Plot("Reliability", chart.svg(), caption)


def _sizes(lesions: Sequence[tuple[EvaluatedImage, float]]) -> Plot:
    x = decades("true lesion area, % of the image", [100 * case.area for case, _ in lesions])
    chart = Chart("Lesion size against Dice", x, unit("Dice"))
    _by_class(
        chart,
        (
            (case, 100 * case.area, dice, f"Dice {dice:.3f}, {100 * case.area:.1f} %")
            for case, dice in lesions
        ),
    )
    missed = sum(dice == 0 for _, dice in lesions)
    caption = f"{len(lesions)} lesions, {missed} of them missed completely (Dice 0)."
    return Plot("Lesion size against Dice", chart.svg(), caption)


def _by_class(chart: Chart, dots: Iterable[tuple[EvaluatedImage, float, float, str]]) -> None:
    """Draw a dot per (image, x, y, text), in a colour per class."""
    groups = groupby(sorted(dots, key=lambda dot: dot[0].label), key=lambda dot: dot[0].label)
    for (label, group), style in zip(groups, DOTS, strict=False):
        chart.points(((x, y, f"{case.name}: {said}") for case, x, y, said in group), style)
        chart.legend(label, style)


def _spread(lesions: Sequence[tuple[EvaluatedImage, float]], *, coarse: bool) -> Plot:
    chart = Chart("Distribution of Dice", unit("Dice"), unit("fraction with at least this Dice"))
    plotted = [([dice for _, dice in lesions], "s1", "fine net")]
    if coarse:
        plotted.append(([case.coarse_dice or 0.0 for case, _ in lesions], "s2", "coarse net"))
    for dices, style, label in plotted:
        levels = [i / 100 for i in range(101)]
        shares = [(at, sum(dice >= at for dice in dices) / len(dices)) for at in levels]
        chart.line(shares, style, label)
    middle = ", ".join(f"{label} {median(dices):.3f}" for dices, _, label in plotted)
    return Plot("Distribution of Dice", chart.svg(), f"Median Dice: {middle}.")


TITLE = "Class evidence inside the lesion"


def evidence_plots(cases: Sequence[EvaluatedImage]) -> tuple[Plot, ...]:
    """Class evidence inside each lesion against the lesion's fraction of the image, in %."""
    plotted = [
        (case, 100 * case.evidence_chance, 100 * case.evidence_inside)
        for case in cases
        if case.evidence_chance is not None and case.evidence_inside is not None
    ]
    if not plotted:
        return ()
    known = [share for _, *shares in plotted for share in shares if share > 0]
    x = decades("lesion area, % of the image (chance)", known)
    chart = Chart(TITLE, x, replace(x, label="evidence inside, %"))
    chart.line([(x.low, x.low), (x.high, x.high)], "chance", "chance")
    _by_class(
        chart,
        (
            (case, at, inside, f"{inside:.0f} % inside, {at:.0f} % by chance")
            for case, at, inside in plotted
        ),
    )
    below = sum(inside <= at for _, at, inside in plotted)
    caption = (
        f"{len(plotted)} lesions; in {below} of them no more evidence is inside than by chance."
    )
    return (Plot(TITLE, chart.svg(), caption),)


def coverage_plots(certainty: Certainty | None) -> tuple[Plot, ...]:
    """Accuracy and lesion Dice against the fraction of images kept, the most certain first."""
    if certainty is None or not certainty.points:
        return ()
    points = sorted(certainty.points, key=lambda point: point.share)
    chart = Chart(
        "Figures of the most certain images", unit("fraction of images kept"), unit("figure")
    )
    drawn = []
    named = (("accuracy", "accuracy"), ("lesion_dice", "lesion Dice"))
    for (metric, said), style in zip(named, STYLES, strict=True):
        line = [
            (point.share, point.figures[metric].value or 0.0)
            for point in points
            if metric in point.figures and point.figures[metric].value is not None
        ]
        if line:
            chart.line(line, style, said).points(
                [(x, y, f"{said} {y:.3f} on {100 * x:.0f} %") for x, y in line], f"c{style[1]}"
            )
            drawn.append(said)
    if not drawn:
        return ()
    caption = (
        "No uncertainty threshold for referral was set."
        if certainty.refer_above is None
        else f"As served, images above the threshold are referred: {certainty.referred:.1%}."
    )
    return (Plot("Coverage: the most certain first", chart.svg(), caption),)


def mask_plots(curve: MaskCurve | None) -> tuple[Plot, ...]:
    """Candidates for mask threshold and minimum area on val; empty without lesions or normals."""
    dots = [dot for point in curve.points if (dot := _dot(point))] if curve else []
    chosen = _dot(curve.chosen) if curve and curve.chosen else None
    if not dots or chosen is None:
        return ()
    chart = Chart(
        "Mask operating points on val", unit("normals with a false lesion"), unit("lesion Dice")
    )
    chart.points(dots, "c1")
    chart.points([chosen], "c2")
    chart.legend("evaluated", "c1").legend("chosen", "c2")
    caption = (
        f"Chosen: {chosen[2]}, with lesion Dice {chosen[1]:.3f} and {chosen[0]:.1%} of normals "
        "with a false lesion on val, as served."
    )
    return (Plot("Mask operating points on val", chart.svg(), caption),)


def _dot(point: MaskPoint) -> tuple[float, float, str] | None:
    """Return x, y and setting of a point; None if val lacks lesions or normals."""
    if point.normal_fp_rate is None or point.lesion_dice is None:
        return None
    setting = f"threshold {point.mask_threshold:.3f}, minimum area {100 * point.min_area:.3g} %"
    return point.normal_fp_rate, point.lesion_dice, setting
