"""Charts of how far answers can be trusted: class evidence, coverage, mask operating points."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.artifacts import Certainty, MaskCurve, MaskPoint
from pipelines.report.evidence import Case
from pipelines.report.plots import DOTS, STYLES, Plot
from pipelines.report.svg import Chart, decades, unit

TITLE = "Class evidence inside the lesion"


def evidence_plots(cases: Sequence[Case]) -> tuple[Plot, ...]:
    """The share of class evidence inside each lesion, against the lesion's share of the image."""
    told = [
        (case, 100 * case.evidence_chance, 100 * case.evidence_inside)
        for case in cases
        if case.evidence_chance is not None and case.evidence_inside is not None
    ]
    if not told:
        return ()
    known = [share for _, *shares in told for share in shares if share > 0]
    x = decades("lesion’s share of the image, % (chance)", known)
    chart = Chart(TITLE, x, replace(x, label="evidence inside, %"))
    chart.line([(x.low, x.low), (x.high, x.high)], "chance", "chance")
    for label, style in zip(sorted({case.label for case, *_ in told}), DOTS, strict=False):
        dots = [
            (at, inside, f"{case.name}: {inside:.0f} % inside, {at:.0f} % by chance")
            for case, at, inside in told
            if case.label == label
        ]
        chart.points(dots, style).legend(label, style)
    below = sum(inside <= at for _, at, inside in told)
    caption = (
        f"{len(told)} lesions; in {below} of them no more evidence lies inside than by chance."
    )
    return (Plot(TITLE, chart.svg(), caption),)


def coverage_plots(certainty: Certainty | None) -> tuple[Plot, ...]:
    """How accuracy and Dice change where only the most certain images are kept."""
    if certainty is None or not certainty.points:
        return ()
    points = sorted(certainty.points, key=lambda point: point.share)
    chart = Chart(
        "Figures of the most certain images", unit("share of images kept"), unit("figure")
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
        "No bound for referral was set."
        if certainty.refer_above is None
        else f"Served, images less certain than the bound are referred: {certainty.referred:.1%}."
    )
    return (Plot("Coverage: the most certain first", chart.svg(), caption),)


def mask_plots(curve: MaskCurve | None) -> tuple[Plot, ...]:
    """What the mask threshold and the minimum area were chosen from, on val; none without both."""
    dots = [dot for point in curve.points if (dot := _dot(point))] if curve else []
    chosen = _dot(curve.chosen) if curve and curve.chosen else None
    if not dots or chosen is None:
        return ()
    chart = Chart(
        "Mask operating points on val", unit("normals with a false lesion"), unit("lesion Dice")
    )
    chart.points(dots, "c1")
    chart.points([chosen], "c2")
    chart.legend("looked at", "c1").legend("chosen", "c2")
    caption = (
        f"Chosen: {chosen[2]}, with lesion Dice {chosen[1]:.3f} and {chosen[0]:.1%} of normals "
        "with a false lesion on val, as served."
    )
    return (Plot("Mask operating points on val", chart.svg(), caption),)


def _dot(point: MaskPoint) -> tuple[float, float, str] | None:
    """Where a point lies, and what it is; None where val lacks lesions or normals."""
    if point.normal_fp_rate is None or point.lesion_dice is None:
        return None
    return point.normal_fp_rate, point.lesion_dice, _setting(point)


def _setting(point: MaskPoint) -> str:
    return f"threshold {point.mask_threshold:.3f}, minimum area {100 * point.min_area:.3g} %"
