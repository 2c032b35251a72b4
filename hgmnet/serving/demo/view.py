"""Content of the page for a prediction: sentences, figures and maps."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from hgmnet.config.base import MALIGNANT, UNCLASSIFIED, Frozen
from hgmnet.config.model import Model
from hgmnet.data.dicom import DecodedFile
from hgmnet.data.images import encode_mask
from hgmnet.data.resize import Mask, Prob, resize_to_input, resize_to_original
from hgmnet.evaluation.model_maps import Layer, layers
from hgmnet.inference.maps import spread
from hgmnet.inference.postprocess import Prediction
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import prediction_row
from hgmnet.metrics.segmentation import count_pixels, dice
from hgmnet.models.spec import Operating
from hgmnet.pages.html import data_uri, fit
from hgmnet.pages.overlays import heat_uri, outline, png_uri
from hgmnet.serving.demo.samples import DemoSample
from hgmnet.serving.model_slot import LoadedModel


class Bar(Frozen):
    """A number in [0, 1]; `mark`: a threshold, `note`: its effect."""

    name: str
    value: float
    mark: float | None = None
    note: str = ""


def headline(finding: Prediction) -> str:
    """Format the decision and its probability."""
    if finding.decision == UNCLASSIFIED:
        return "no class: this model draws masks alone"
    return f"{finding.decision}, probability {finding.probs[finding.decision]:.3f}"


def alt(name: str, finding: Prediction) -> str:
    """Alternative text of the picture, for screen readers."""
    lesion = f"A lesion is outlined on {_share(finding.mask)} of it." if finding.box else ""
    return f"Ultrasound image {name}. {lesion or 'No lesion is outlined.'}"


def refer(finding: Prediction, operating: Operating) -> str:
    """Format the reason for referral to a person; empty without referral."""
    if not finding.refer:
        return ""
    bound = operating.uncertainty.refer_above
    return (
        "Refer: a person should look. "
        f"The uncertainty, {finding.uncertainty:.3f}, is above the bound of {bound:.3f}."
    )


def bars(finding: Prediction, predictor: TorchPredictor) -> tuple[Bar, ...]:
    """Return bars of the class probabilities, then of the uncertainty."""
    point, known = predictor.operating, predictor.operating.uncertainty
    classes = finding.probs.items() if finding.decision != UNCLASSIFIED else ()
    found = [_class_bar(name, prob, point.malignant_threshold) for name, prob in classes]
    if known.class_entropy or known.mask_disagreement:
        bound = known.refer_above
        note = "" if bound is None else f"above {bound:.3f} it is referred to a person"
        found.append(Bar(name="uncertainty", value=finding.uncertainty, mark=bound, note=note))
    return tuple(found)


def facts(
    finding: Prediction, opened: DecodedFile, learnt: Model, truth: Mask | None, seconds: float
) -> tuple[tuple[str, str], ...]:
    """Return (term, value) pairs of the tasks learned; `truth`: (H, W), of a synthetic image."""
    height, width = opened.grey.shape
    sides = f"{width} × {height} px"
    known = f"{sides}, {opened.pixel_mm:.3g} mm a pixel" if opened.pixel_mm else sides
    return (
        *(_of_the_mask(finding, opened.pixel_mm, truth) if learnt.segments else ()),
        *([("Class entropy", f"{finding.class_entropy:.3f}")] if learnt.classifies else []),
        ("Image", known),
        ("Took", f"{seconds:.2f} s, maps included"),
    )


def notes(
    finding: Prediction, predictor: TorchPredictor, sample: DemoSample | None
) -> tuple[str, ...]:
    """Return the warnings beside the numbers, one or two sentences each."""
    return tuple(_notes(finding, predictor, sample))


def describe_model(served: LoadedModel) -> str:
    """Format name and version of the model in one line."""
    version = f" version {served.version}" if served.version else ""
    spec, sha256 = served.predictor.spec, served.predictor.identity
    name = f"{served.described['model']}{version}"
    return f"{name}, trained on {spec.data}, weights and settings {sha256[:12]}"


def _class_bar(name: str, prob: float, threshold: float | None) -> Bar:
    if name != MALIGNANT or threshold is None:
        return Bar(name=name, value=prob)
    note = f"from {threshold:.3f} on the decision is malignant"
    return Bar(name=name, value=prob, mark=threshold, note=note)


def _notes(
    finding: Prediction, predictor: TorchPredictor, sample: DemoSample | None
) -> Iterator[str]:
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


def _of_a_sample(sample: DemoSample, data: str) -> Iterator[str]:
    drawn = sample.case.label
    yield f"Synthetic: drawn by this program as {drawn}. It tells nothing about patients."
    if data != "phantom":
        yield f"The model learnt from {data} and has seen nothing like these drawings."


def _why_unserved(finding: Prediction, operating: Operating) -> str:
    raw = finding.raw_mask
    found = f"A mask of {int(raw.sum()):,} px was left out"
    if not finding.large:
        least = round(operating.min_area * raw.size)
        return f"{found}: below {least:,} px, {100 * operating.min_area:.2f} % of the image."
    return f"{found}, since the decision is normal."


def _of_the_mask(
    finding: Prediction, pixel_mm: float, truth: Mask | None
) -> Iterator[tuple[str, str]]:
    yield "Lesion area", _area(finding, pixel_mm)
    if finding.box:
        yield "Box", _box(finding.box)
    if truth is not None and truth.any():
        tp, fp, fn, _ = (np.array(n) for n in count_pixels(finding.mask, truth))
        yield "Dice with the true mask", f"{float(dice(tp, fp, fn)):.3f}"
    yield "Mask disagreement", f"{finding.mask_disagreement:.3f}"


def _area(finding: Prediction, pixel_mm: float) -> str:
    if not finding.lesion_area:
        return "no lesion outlined"
    millimetres = f", {finding.lesion_area * pixel_mm**2:.1f} mm²" if pixel_mm else ""
    return f"{finding.lesion_area:,} px, {_share(finding.mask)} of the image{millimetres}"


def _box(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"{right - left} × {bottom - top} px, from ({left}, {top})"


def _share(mask: Mask) -> str:
    return f"{100 * mask.mean():.1f} %"


SIDE = 1024
"""Maximum length of a picture's longer edge on the page, px."""


class DemoLayer(Frozen):
    """A map over the picture; `src`: PNG as a data URL, stretched to the picture's size."""

    key: str
    name: str
    note: str
    src: str


class DemoResult(Frozen):
    """A prediction as shown on the page.

    `width`, `height`: of `picture`, px; `outline` (the mask served) and `truth` (a synthetic
    image's lesions) are SVG paths in these px, empty without a lesion. `mask`: the mask served, a
    PNG at native size. `bars`: numbers in [0, 1]. `facts`: (term, value). `notes`: sentences.
    `refer`: sentence on referral to a person, empty without. `row`: the row that `hgmnet predict`
    writes. `sha256`: of the model.
    """

    name: str
    synthetic: bool
    width: int
    height: int
    picture: str
    alt: str
    outline: str
    truth: str
    layers: tuple[DemoLayer, ...]
    mask: str
    decision: str
    headline: str
    refer: str
    bars: tuple[Bar, ...]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    row: dict[str, Any]
    model: str
    sha256: str


def look(
    opened: DecodedFile, name: str, served: LoadedModel, sample: DemoSample | None = None
) -> DemoResult:
    """Predict an image and draw masks and maps.

    Args:
        opened: the decoded image.
        name: name of its file.
        served: the model.
        sample: the sample, for a synthetic image.
    """
    start = time.perf_counter()
    predictor, grey = served.predictor, opened.grey
    finding = predictor.predict([grey])[0]
    found = [*layers(predictor, [grey])[0], *_disagreement(predictor, opened)]
    seconds = time.perf_counter() - start
    row = prediction_row(finding, predictor.operating, opened.pixel_mm)
    size = fit(grey, SIDE)
    truth = None if sample is None else sample.picture.mask
    return DemoResult(
        name=name,
        synthetic=sample is not None,
        width=size[0],
        height=size[1],
        picture=data_uri(grey, size),
        alt=alt(name, finding),
        outline=_path(finding.mask, size),
        truth="" if truth is None else _path(truth, size),
        layers=tuple(
            DemoLayer(key=layer.key, name=layer.name, note=layer.note, src=heat_uri(values))
            for layer, values in found
        ),
        mask=png_uri(encode_mask(finding.mask)),
        decision=finding.decision,
        headline=headline(finding),
        refer=refer(finding, predictor.operating),
        bars=bars(finding, predictor),
        facts=facts(finding, opened, predictor.spec.model, truth, seconds),
        notes=notes(finding, predictor, sample),
        row={"file": name, **row, **served.described},
        model=describe_model(served),
        sha256=predictor.identity,
    )


def _disagreement(predictor: TorchPredictor, opened: DecodedFile) -> list[tuple[Layer, Prob]]:
    """Map of the differences between an image's views; empty with one view or without masks."""
    spec, grey = predictor.spec, opened.grey
    views = predictor.predict_raw(resize_to_input(grey, spec.prepare)[None]).views
    if not spec.model.segments or views.shape[1] < 2:
        return []
    note = f"how far the lesion probability differs between {views.shape[1]} views of the image"
    layer = Layer("spread", "Disagreement", note)
    height, width = grey.shape
    return [(layer, resize_to_original(spread(views)[0], height, width, spec.prepare))]


def _path(mask: Mask, size: tuple[int, int]) -> str:
    return outline(mask, size) if mask.any() else ""
