"""What the page says of a finding, in whole sentences."""

from collections.abc import Iterator

import numpy as np

from hgmnet.config import MALIGNANT, UNCLASSIFIED, Frozen, Model
from hgmnet.data.resample import Mask
from hgmnet.inference import Finding, Predictor
from hgmnet.metrics import count_pixels, dice
from hgmnet.models.spec import Operating
from pipelines.predictions import Opened
from pipelines.server.holder import Served
from pipelines.server.samples import Sample


class Bar(Frozen):
    """A number from 0 to 1; `mark`: a bound on it, `note` says what happens from there on."""

    name: str
    value: float
    mark: float | None = None
    note: str = ""


def headline(finding: Finding) -> str:
    """The decision and its probability."""
    if finding.decision == UNCLASSIFIED:
        return "no class: this model draws masks alone"
    return f"{finding.decision}, probability {finding.probs[finding.decision]:.3f}"


def alt(name: str, finding: Finding) -> str:
    """The picture for who can't see it."""
    lesion = f"A lesion is outlined on {_share(finding.mask)} of it." if finding.box else ""
    return f"Ultrasound image {name}. {lesion or 'No lesion is outlined.'}"


def refer(finding: Finding, operating: Operating) -> str:
    """That a person should look, and why; empty where none should."""
    if not finding.refer:
        return ""
    bound = operating.uncertainty.refer_above
    return (
        "Refer: a person should look. "
        f"The uncertainty, {finding.uncertainty:.3f}, is above the bound of {bound:.3f}."
    )


def bars(finding: Finding, predictor: Predictor) -> tuple[Bar, ...]:
    """The class probabilities, then the uncertainty."""
    point, known = predictor.operating, predictor.operating.uncertainty
    classes = finding.probs.items() if finding.decision != UNCLASSIFIED else ()
    found = [_class_bar(name, prob, point.malignant_threshold) for name, prob in classes]
    if known.class_entropy or known.mask_disagreement:
        bound = known.refer_above
        note = "" if bound is None else f"above {bound:.3f} it is referred to a person"
        found.append(Bar(name="uncertainty", value=finding.uncertainty, mark=bound, note=note))
    return tuple(found)


def facts(
    finding: Finding, opened: Opened, learnt: Model, truth: Mask | None, seconds: float
) -> tuple[tuple[str, str], ...]:
    """Terms and values, of what the model learnt; `truth` is that of a synthetic image."""
    height, width = opened.grey.shape
    sides = f"{width} × {height} px"
    known = f"{sides}, {opened.pixel_mm:.3g} mm a pixel" if opened.pixel_mm else sides
    return (
        *(_of_the_mask(finding, opened.pixel_mm, truth) if learnt.segments else ()),
        *([("Class entropy", f"{finding.class_entropy:.3f}")] if learnt.classifies else []),
        ("Image", known),
        ("Took", f"{seconds:.2f} s, maps included"),
    )


def notes(finding: Finding, predictor: Predictor, sample: Sample | None) -> tuple[str, ...]:
    """What must be said beside the numbers, a sentence or two each."""
    return tuple(_notes(finding, predictor, sample))


def model(served: Served) -> str:
    """Which model it is, in a line."""
    version = f" version {served.version}" if served.version else ""
    spec, sha256 = served.predictor.spec, served.predictor.identity
    name = f"{served.said['model']}{version}"
    return f"{name}, trained on {spec.data}, weights and settings {sha256[:12]}"


def _class_bar(name: str, prob: float, threshold: float | None) -> Bar:
    if name != MALIGNANT or threshold is None:
        return Bar(name=name, value=prob)
    note = f"from {threshold:.3f} on the decision is malignant"
    return Bar(name=name, value=prob, mark=threshold, note=note)


def _notes(finding: Finding, predictor: Predictor, sample: Sample | None) -> Iterator[str]:
    if sample is not None:
        yield from _of_a_sample(sample, predictor.spec.data)
    threshold = predictor.operating.malignant_threshold
    if finding.decision == MALIGNANT != finding.predicted:
        yield (
            f"The likeliest class is {finding.predicted}; the decision is malignant because "
            f"malignant reaches its threshold of {threshold:.3f}."
        )
    if finding.decision != finding.decided:
        yield f"The decision is {finding.decision} because no lesion is left in the mask."
    segments = predictor.spec.model.segments
    if finding.decision == MALIGNANT and segments and not finding.mask.any():
        yield "The decision is malignant though no lesion is outlined."
    if finding.raw_mask.any() and not finding.mask.any():
        yield _why_unserved(finding, predictor.operating)
    if not segments:
        yield "This model tells the class alone and draws no mask."


def _of_a_sample(sample: Sample, data: str) -> Iterator[str]:
    drawn = sample.case.label
    yield f"Synthetic: drawn by this program as {drawn}. It tells nothing about patients."
    if data != "phantom":
        yield f"The model learnt from {data} and has seen nothing like these drawings."


def _why_unserved(finding: Finding, operating: Operating) -> str:
    raw = finding.raw_mask
    found = f"A mask of {int(raw.sum()):,} px was left out"
    if not finding.large:
        least = round(operating.min_area * raw.size)
        return f"{found}: below {least:,} px, {100 * operating.min_area:.2f} % of the image."
    return f"{found}, since the decision is normal."


def _of_the_mask(
    finding: Finding, pixel_mm: float, truth: Mask | None
) -> Iterator[tuple[str, str]]:
    yield "Lesion area", _area(finding, pixel_mm)
    if finding.box:
        yield "Box", _box(finding.box)
    if truth is not None and truth.any():
        tp, fp, fn, _ = (np.array(n) for n in count_pixels(finding.mask, truth))
        yield "Dice with the true mask", f"{float(dice(tp, fp, fn)):.3f}"
    yield "Mask disagreement", f"{finding.mask_disagreement:.3f}"


def _area(finding: Finding, pixel_mm: float) -> str:
    if not finding.lesion_area:
        return "no lesion outlined"
    millimetres = f", {finding.lesion_area * pixel_mm**2:.1f} mm²" if pixel_mm else ""
    return f"{finding.lesion_area:,} px, {_share(finding.mask)} of the image{millimetres}"


def _box(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"{right - left} × {bottom - top} px, from ({left}, {top})"


def _share(mask: Mask) -> str:
    return f"{100 * mask.mean():.1f} %"
