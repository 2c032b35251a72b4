"""Render the report: one self-contained HTML page from evidence and drawn gallery."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hgmnet.config.base import SMALL
from hgmnet.models import description
from hgmnet.pages.html import fill
from hgmnet.pages.overlays import gradient
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.lineage import UNKNOWN
from pipelines.report import figures, inputs, text
from pipelines.report.charts import strip
from pipelines.report.doubts import doubts
from pipelines.report.gallery import DrawnShelf
from pipelines.report.inputs import ReportInputs

SUBGROUP_METRICS = (
    *("lesion_dice", "accuracy", "served_sensitivity_malignant"),
    *("served_specificity_malignant", "served_normal_fp_rate"),
)
"""Candidate columns of the table by subgroup: the first three that any subgroup has are shown."""


def render_page(evidence: ReportInputs, shelves: Sequence[DrawnShelf]) -> str:
    """Render the page; equal arguments give equal text."""
    classes, model = evidence.spec.classes, evidence.spec.model
    layers = {layer.key: layer for shelf in shelves for layer in shelf.layers}
    lesions = figures.lesion_plots(evidence.shown, coarse=model.coarse) if model.segments else ()
    return fill(
        __file__,
        "report.html.j2",
        **shared(evidence),
        **headlines(evidence),
        training=figures.training_plots(evidence.curves, evidence.spec.members),
        model=model,
        class_plots=figures.class_plots(evidence.shown) if model.classifies else (),
        lesion_plots=lesions,
        classes=classes,
        confusion=figures.confusion(evidence.shown, classes),
        shelves=shelves,
        layers=tuple(layers.values()),
        pictures=any(tile.svg for shelf in shelves for tile in shelf.tiles),
        palette=gradient(),
        evidence_plots=figures.evidence_plots(evidence.shown),
        coverage=figures.coverage_plots(evidence.certainty),
        mask_plots=figures.mask_plots(evidence.mask_curve),
        **breakdown(evidence),
    )


def shared(evidence: ReportInputs) -> dict[str, Any]:
    """Return the variables that the templates of page and model card share, by name."""
    return {
        "evidence": evidence,
        "data": evidence.evaluation.data,
        "split": evidence.split,
        "verdict": text.verdict(evidence),
        "doubts": doubts(evidence),
        "words": text,
        "counts": class_counts(evidence),
        "sides": SIDES,
        "excluded": inputs.excluded(evidence.provenance),
        "likeness": inputs.likeness(evidence.provenance),
        "lineage": lineage(evidence),
    }


def headlines(evidence: ReportInputs) -> dict[str, Any]:
    """Return the variables of headlines.html.j2, the table of main figures."""
    found = evidence.figures
    shown = [one for one in text.HEADLINES if one in found and found[one].value is not None]
    has_paper = any(text.paper(evidence, metric) is not None for metric in shown)
    return {"headlines": shown, "has_paper": has_paper, "scale": scale}


def scale(evidence: ReportInputs, metric: str) -> str:
    """Draw a figure with its interval, the gate's bounds for it, and its baselines."""
    bounds = [
        (check.bound, 1.0)
        for check in evidence.gate.checks
        if check.metric == metric and not check.where and not check.above
        if check.bound is not None
    ]
    others = (other.value for _, other in text.baselines(evidence, metric))
    bounds += [(value, 0.0) for value in others if value is not None]
    return strip(evidence.figures[metric], bounds)


def breakdown(evidence: ReportInputs) -> dict[str, Any]:
    """Return the variables of the table by subgroup: `metrics`, and the subgroups by column."""
    groups = evidence.subgroups.groups if evidence.subgroups else ()
    known = {name for group in groups for name, f in group.figures.items() if f.value is not None}
    sections: dict[str, list[Subgroup]] = {}
    for group in groups:
        sections.setdefault(group.column.replace("_", " "), []).append(group)
    metrics = [name for name in SUBGROUP_METRICS if name in known][:3]
    return {"metrics": metrics, "sections": sections, "few": SMALL, "strip": strip}


SIDES = ("train", "val", "test", "excluded")


def class_counts(evidence: ReportInputs) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """One row per class: label, number of images, and their number per split of `SIDES`.

    Without split.csv the cells of train and excluded are dashes, and of an unevaluated test.
    """
    sides = evidence.provenance.sides
    assigned = Counter((case.label, case.split) for case in evidence.cases)
    opened = evidence.evaluation.test is not None
    known = SIDES if sides else (("val", "test") if opened else ("val",))

    def said(label: str, side: str) -> str:
        if side not in known:
            return "–"
        return str(sides.get((label, side), 0) if sides else assigned[label, side])

    return tuple(
        (label, count, tuple(said(label, side) for side in SIDES))
        for label, count in evidence.validation.per_class.items()
    )


def lineage(evidence: ReportInputs) -> tuple[tuple[str, str], ...]:
    """Data, model and training of the version, as (term, value)."""
    known = {"evidence": evidence, "inputs": inputs, "unknown": UNKNOWN}
    shape = description.shape(evidence.spec)
    filled = fill(__file__, "lineage.txt.j2", **known, shape=shape)
    rows = (line.partition(" | ") for line in filled.splitlines())
    return tuple((term, value) for term, _, value in rows)
