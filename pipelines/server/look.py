"""One image for the page: what the model says of it, and what can be laid over it."""

import base64
import io
import time
from typing import Any

from PIL import Image

from hgmnet.config import Frozen
from hgmnet.data.resample import Mask, Prob, fit_image, unfit
from hgmnet.inference import Predictor
from hgmnet.maps import spread
from pipelines.pictures import data_uri, fit
from pipelines.predictions import Opened, describe
from pipelines.report import heat
from pipelines.report.gallery import outline
from pipelines.report.layers import layers
from pipelines.server import words
from pipelines.server.holder import Served
from pipelines.server.samples import Sample
from pipelines.server.words import Bar

SIDE = 1024
"""A picture's longer side on the page, px, at most."""


class Shown(Frozen):
    """A map to lay over the picture: a PNG as an address, stretched to the picture's size."""

    key: str
    name: str
    note: str
    src: str


class Looked(Frozen):
    """An answer as the page shows it.

    `width`, `height`: of `picture`, in whose px `outline` (the mask served) and `truth` (a
    synthetic image's lesions) are SVG paths, empty for no lesion. `mask`: the mask served, a PNG at
    the image's own size. `bars`: numbers from 0 to 1. `facts`: terms and values. `notes`: whole
    sentences. `refer`: the sentence that says that a person should look, empty where none should.
    `row`: the answer as `hgmnet predict` writes it. `sha256`: of the model.
    """

    name: str
    synthetic: bool
    width: int
    height: int
    picture: str
    alt: str
    outline: str
    truth: str
    layers: tuple[Shown, ...]
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


def look(opened: Opened, name: str, served: Served, sample: Sample | None = None) -> Looked:
    """Find in an image and draw what lies behind the finding.

    Args:
        opened: the image.
        name: of its file.
        served: the model.
        sample: the synthetic image that this is, if it is one.
    """
    start = time.perf_counter()
    predictor, grey = served.predictor, opened.grey
    finding = predictor.predict([grey])[0]
    found = [*layers(predictor, [grey])[0], *_disagreement(predictor, opened)]
    seconds = time.perf_counter() - start
    size = fit(grey, SIDE)
    truth = None if sample is None else sample.picture.mask
    return Looked(
        name=name,
        synthetic=sample is not None,
        width=size[0],
        height=size[1],
        picture=data_uri(grey, size),
        alt=words.alt(name, finding),
        outline=_path(finding.mask, size),
        truth="" if truth is None else _path(truth, size),
        layers=tuple(
            Shown(key=layer.key, name=layer.name, note=layer.note, src=heat.heat_uri(values))
            for layer, values in found
        ),
        mask=_mask_uri(finding.mask),
        decision=finding.decision,
        headline=words.headline(finding),
        refer=words.refer(finding, predictor.operating),
        bars=words.bars(finding, predictor),
        facts=words.facts(finding, opened, predictor.spec.model, truth, seconds),
        notes=words.notes(finding, predictor, sample),
        row={"file": name, **describe(finding, opened.pixel_mm), **served.said},
        model=words.model(served),
        sha256=predictor.identity,
    )


def _disagreement(predictor: Predictor, opened: Opened) -> list[tuple[heat.Layer, Prob]]:
    """Where the views of an image differ; nothing where there is one view, or no mask."""
    spec, grey = predictor.spec, opened.grey
    views = predictor.look(fit_image(grey, spec.prepare)[None]).views
    if not spec.model.segments or views.shape[1] < 2:
        return []
    note = f"how far the lesion probability differs between {views.shape[1]} views of the image"
    layer = heat.Layer("spread", "Disagreement", note)
    height, width = grey.shape
    return [(layer, unfit(spread(views)[0], height, width, spec.prepare))]


def _path(mask: Mask, size: tuple[int, int]) -> str:
    return outline(mask, size) if mask.any() else ""


def _mask_uri(mask: Mask) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).convert("L").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
