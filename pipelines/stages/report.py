"""Stage: write the HTML report and the model card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hgmnet.config import data, evaluation
from hgmnet.data.atomic import write_text
from hgmnet.data.folder_layout import scan
from hgmnet.data.images import read_grey
from hgmnet.data.masks import read_mask
from hgmnet.data.resize import Grey, Mask
from hgmnet.evaluation.model_maps import layers
from hgmnet.inference.predictor import TorchPredictor
from pipelines.artifacts.paths import Workspace
from pipelines.report.gallery import (
    DrawnShelf,
    GalleryImage,
    GalleryRow,
    choose,
    draw_shelves,
    list_shelves,
)
from pipelines.report.html import render_page
from pipelines.report.inputs import read_evidence
from pipelines.report.model_card import render_model_card

_BATCH = 16


def run(root: Path, data: data.Data, report: evaluation.Report) -> None:
    """Write reports/html/index.html and reports/model_card.md, whatever the gate's verdict.

    Raises:
        InvalidDataError: a file of an earlier stage is absent or damaged.
        ConfigError: the model folder is absent or damaged.
    """
    space = Workspace(root, data.name)
    predictor = TorchPredictor.load(space.model)
    evidence = read_evidence(space, predictor.spec, predictor.operating, predictor.identity)
    model = predictor.spec.model
    shelves = choose(evidence.shown, segments=model.segments, classifies=model.classifies)
    drawn = _draw(space.raw, predictor, shelves) if report.images else list_shelves(shelves)
    write_text(space.html, render_page(evidence, drawn))
    write_text(space.model_card, render_model_card(evidence))


def _draw(
    raw: Path, predictor: TorchPredictor, shelves: Sequence[GalleryRow]
) -> tuple[DrawnShelf, ...]:
    names = list(dict.fromkeys(case.image for shelf in shelves for case in shelf.cases))
    masks = {sample.image: sample.masks for sample in scan(raw)}
    pictures: dict[str, GalleryImage] = {}
    for start in range(0, len(names), _BATCH):
        part = names[start : start + _BATCH]
        images = [read_grey(raw, name) for name in part]
        truths = [
            _truth([raw / mask for mask in masks[name]], image)
            for name, image in zip(part, images, strict=True)
        ]
        predicted = [finding.raw_mask for finding in predictor.predict(images)]
        seen = layers(predictor, images)
        pictures |= dict(zip(part, map(GalleryImage, images, truths, predicted, seen), strict=True))
    return draw_shelves(shelves, pictures)


def _truth(masks: Sequence[Path], image: Grey) -> Mask:
    return read_mask(masks) if masks else np.zeros(image.shape, dtype=np.bool_)
