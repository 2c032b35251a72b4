"""Display of a prediction on the page: sentences, figures and maps."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from hgmnet.config.base import MALIGNANT, UNCLASSIFIED, Frozen
from hgmnet.config.model import Model
from hgmnet.data.images import DecodedFile, encode_mask
from hgmnet.data.resize import Mask, Prob, resize_to_input, resize_to_original
from hgmnet.evaluation.model_maps import Layer, layers
from hgmnet.inference.maps import spread
from hgmnet.inference.postprocess import Prediction
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import answer_row
from hgmnet.metrics.segmentation import count_pixels, dice
from hgmnet.models.spec import Operating
from hgmnet.pages.html import data_uri, fit
from hgmnet.pages.overlays import calipers, heat_uri, outline, png_uri
from hgmnet.serving.demo.samples import DemoSample
from hgmnet.serving.model_slot import LoadedModel


class Bar(Frozen):
    """A number in [0, 1]; `mark`: its threshold, `note`: the effect of reaching it."""

    name: str
    value: float
    mark: float | None = None
    note: str = ""


def headline(finding: Prediction) -> str:
    """Format the decision and its probability."""
    if finding.decision == UNCLASSIFIED:
        return "no class: this model predicts masks only"
    return f"{finding.decision}, probability {finding.probs[finding.decision]:.3f}"


def alt(name: str, finding: Prediction) -> str:
    """Format the picture's alternative text."""
    lesion = f"A lesion is outlined on {_share(finding.mask)} of it." if finding.box else ""
    return f"Ultrasound image {name}. {lesion or 'No lesion is outlined.'}"


def refer(finding: Prediction, operating: Operating) -> str:
    """Format why a reader should review the image; empty if none should."""
    if not finding.refer:
        return ""
    bound = operating.uncertainty.refer_above
    above = f"The uncertainty, {finding.uncertainty:.3f}, is above the bound of {bound:.3f}."
    return f"Refer: a reader should review it. {above}"


def bars(finding: Prediction, predictor: TorchPredictor) -> tuple[Bar, ...]:
    """Return the class probabilities, then the uncertainty."""
    point, known = predictor.operating, predictor.operating.uncertainty
    found = []
    for name, prob in finding.probs.items() if finding.decision != UNCLASSIFIED else ():
        mark = point.malignant_threshold if name == MALIGNANT else None
        note = "" if mark is None else f"from {mark:.3f} on the decision is malignant"
        found.append(Bar(name=name, value=prob, mark=mark, note=note))
    if known.class_entropy or known.mask_disagreement:
        bound = known.refer_above
        note = "" if bound is None else f"above {bound:.3f} it is referred to a reader"
        found.append(Bar(name="uncertainty", value=finding.uncertainty, mark=bound, note=note))
    return tuple(found)


def facts(
    finding: Prediction, opened: DecodedFile, learnt: Model, truth: Mask | None, seconds: float
) -> tuple[tuple[str, str], ...]:
    """Terms and values, for the tasks of the model; `truth`: a synthetic image's mask."""
    height, width = opened.grey.shape
    spacing = f", {opened.pixel_mm:.3g} mm per pixel" if opened.pixel_mm else ""
    return (
        *(_of_the_mask(finding, opened.pixel_mm, truth) if learnt.segments else ()),
        *([("Class entropy", f"{finding.class_entropy:.3f}")] if learnt.classifies else []),
        ("Image", f"{width} × {height} px{spacing}"),
        ("Took", f"{seconds:.2f} s, maps included"),
    )


def describe_model(served: LoadedModel) -> str:
    """Describe the model in one line."""
    version = f" version {served.version}" if served.version else ""
    spec, sha256 = served.predictor.spec, served.predictor.identity
    name = f"{served.described['model']}{version}"
    return f"{name}, trained on {spec.data}, weights and settings {sha256[:12]}"


def notes(
    finding: Prediction, predictor: TorchPredictor, sample: DemoSample | None
) -> Iterator[str]:
    """Yield the remarks beside the numbers, one or two sentences each."""
    data = predictor.spec.data
    if sample is not None:
        drawn = sample.case.label
        yield f"Synthetic: drawn by this program as {drawn}. It shows nothing about patients."
    if sample is not None and data != "phantom":
        yield f"The model was trained on {data}, not on such drawings."
    threshold = predictor.operating.malignant_threshold
    if finding.decision == MALIGNANT != finding.predicted:
        yield (
            f"The most probable class is {finding.predicted}; the decision is malignant because "
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
        yield "This model predicts the class only, no mask."


def _why_unserved(finding: Prediction, operating: Operating) -> str:
    raw = finding.raw_mask
    found = f"A mask of {int(raw.sum()):,} px was removed"
    if not finding.large:
        least = round(operating.min_area * raw.size)
        return f"{found}: below {least:,} px, {100 * operating.min_area:.2f} % of the image."
    return f"{found}, since the decision is normal."


def _of_the_mask(
    finding: Prediction, pixel_mm: float, truth: Mask | None
) -> Iterator[tuple[str, str]]:
    yield "Lesion area", _area(finding, pixel_mm)
    if finding.box:
        yield "Lesion size", _size(finding.mask, pixel_mm)
    if finding.box:
        left, top, right, bottom = finding.box
        yield "Box", f"{right - left} × {bottom - top} px, from ({left}, {top})"
    if truth is not None and truth.any():
        tp, fp, fn, _ = (np.array(n) for n in count_pixels(finding.mask, truth))
        yield "Dice with the true mask", f"{float(dice(tp, fp, fn)):.3f}"
    yield "Mask disagreement", f"{finding.mask_disagreement:.3f}"


def _area(finding: Prediction, pixel_mm: float) -> str:
    if not finding.lesion_area:
        return "no lesion outlined"
    millimetres = f", {finding.lesion_area * pixel_mm**2:.1f} mm²" if pixel_mm else ""
    return f"{finding.lesion_area:,} px, {_share(finding.mask)} of the image{millimetres}"


def _size(mask: Mask, pixel_mm: float) -> str:
    long, short = (float(np.hypot(*(end - start))) for start, end in calipers(mask))
    millimetres = f", {long * pixel_mm:.1f} × {short * pixel_mm:.1f} mm" if pixel_mm else ""
    return f"{long:.0f} × {short:.0f} px{millimetres}: longest diameter, and across it"


def _share(mask: Mask) -> str:
    return f"{100 * mask.mean():.1f} %"


SIDE = 1024  # maximum longer edge of a picture on the page, px


class DemoLayer(Frozen):
    """A map to lay over the picture: a PNG as a data URI, stretched to the picture's size."""

    key: str
    name: str
    note: str
    src: str


class DemoResult(Frozen):
    """A prediction as displayed.

    `frame`: the frame's number from 1, of `frames`. `width`, `height`: of `picture`, in whose px
    `outline` (the final mask), `calipers` (diameters of its largest part) and `truth` (a synthetic
    image's lesions) are SVG paths, empty for no lesion. `mask`: the final mask, a PNG at the
    image's original size. `bars`: numbers in [0, 1]. `facts`: terms and values. `notes`: whole
    sentences. `refer`: the sentence on referral to a reader, empty for none. `row`: the answer of
    `hgmnet serve`, and the file's name. `sha256`: of the model.
    """

    name: str
    synthetic: bool
    frame: int
    frames: int
    width: int
    height: int
    picture: str
    alt: str
    outline: str
    calipers: str
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
    opened: DecodedFile,
    name: str,
    served: LoadedModel,
    sample: DemoSample | None = None,
    frames: int = 1,
) -> DemoResult:
    """Predict an image and draw the maps behind the prediction.

    `sample`: if it is synthetic. `frames`: number of the file's frames.
    """
    start = time.perf_counter()
    predictor, grey = served.predictor, opened.grey
    finding = predictor.predict([grey])[0]
    found = [*layers(predictor, [grey])[0], *_disagreement(predictor, opened)]
    seconds = time.perf_counter() - start
    row = answer_row(finding, predictor.operating, opened.pixel_mm, served.described)
    size = fit(grey, SIDE)
    truth = None if sample is None else sample.picture.mask
    return DemoResult(
        name=name,
        synthetic=sample is not None,
        frame=opened.frame or 1,
        frames=frames,
        width=size[0],
        height=size[1],
        picture=data_uri(grey, size),
        alt=alt(name, finding),
        outline=_path(finding.mask, size),
        calipers=_caliper_path(finding.mask, size),
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
        notes=tuple(notes(finding, predictor, sample)),
        row={"file": name, **row},
        model=describe_model(served),
        sha256=predictor.identity,
    )


def _disagreement(predictor: TorchPredictor, opened: DecodedFile) -> list[tuple[Layer, Prob]]:
    """Layer of the views' disagreement; empty for one view, or without masks."""
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


def _caliper_path(mask: Mask, size: tuple[int, int]) -> str:
    if not mask.any():
        return ""
    lines = calipers(mask) * (np.array(size) / mask.shape[::-1])
    return "".join(f"M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" for (x, y), (u, v) in lines)
