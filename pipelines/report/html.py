"""Render the report: one self-contained HTML page from evidence and drawn gallery."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hgmnet.models import description
from hgmnet.pages.html import fill
from hgmnet.pages.overlays import gradient
from pipelines.report import figures, inputs, text
from pipelines.report.charts import strip
from pipelines.report.doubts import doubts
from pipelines.report.gallery import DrawnShelf
from pipelines.report.inputs import ReportInputs
from pipelines.report.tables import FEW, breakdown


@dataclass(frozen=True)
class Headline:
    """A formatted row of the first table."""

    title: str
    value: str
    interval: str
    counted: str
    strip: str
    baselines: tuple[tuple[str, str], ...]
    paper: str


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
        training=figures.training_plots(evidence.curves),
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
        breakdown=breakdown(evidence.subgroups),
        few=FEW,
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
    rows = [
        headline(evidence, metric)
        for metric in text.HEADLINES
        if metric in evidence.figures and evidence.figures[metric].value is not None
    ]
    return {"headlines": rows, "has_paper": any(row.paper for row in rows)}


def headline(evidence: ReportInputs, metric: str) -> Headline:
    """Format a figure with its interval, its baselines and the published figure."""
    figure = evidence.figures[metric]
    others = text.baselines(evidence, metric)
    paper = text.paper(evidence, metric)
    bounds = [
        (check.bound, 1.0)
        for check in evidence.gate.checks
        if check.metric == metric and not check.where and not check.above
        if check.bound is not None
    ]
    bounds += [(other.value, 0.0) for _, other in others if other.value is not None]
    return Headline(
        title=text.title(metric),
        value=text.number(figure.value),
        interval=text.interval(figure),
        counted=text.counted(figure),
        strip=strip(figure, bounds),
        baselines=tuple((said, text.number(other.value)) for said, other in others),
        paper="" if paper is None else f"{paper:.4f}",
    )


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
    spec = evidence.spec
    return (
        ("Data set", evidence.evaluation.data),
        ("Test set (test_sha)", evidence.evaluation.test_sha),
        *inputs.terms(evidence.provenance),
        ("Model (sha256 of its four files)", evidence.identity),
        ("Training fingerprint", spec.fingerprint),
        *description.shape(spec),
        ("Seed", str(spec.seed)),
        ("Epochs", str(len(evidence.curves))),
        ("Fitted on", f"{len(spec.seen.train)} train images; thresholds: {len(spec.seen.val)} val"),
        *_operating(evidence),
        *inputs.run_terms(evidence.provenance.run),
    )


def _operating(evidence: ReportInputs) -> tuple[tuple[str, str], ...]:
    """Operating point of the tasks that the model learns, as (term, value)."""
    model, operating = evidence.spec.model, evidence.operating
    threshold = operating.malignant_threshold
    classes = (
        ("Temperature", f"{operating.temperature:.3f}"),
        ("Malignant from", "never" if threshold is None else f"probability {threshold:.3f}"),
    )
    masks = (
        ("Mask threshold", f"{operating.mask_threshold:.3f}"),
        ("Minimum lesion area", f"{100 * operating.min_area:.3g} % of the image"),
    )
    return (classes if model.classifies else ()) + (masks if model.segments else ())
