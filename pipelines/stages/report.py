"""Stage: write the HTML report and the model card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hgmnet import config
from hgmnet.data.busi import read_mask, scan
from hgmnet.data.images import decode_grey
from hgmnet.data.resample import Grey, Mask
from hgmnet.inference import Predictor
from pipelines.artifacts import Workspace, write_text
from pipelines.report.evidence import Case, read_evidence
from pipelines.report.gallery import DrawnShelf, Picture, choose, draw_shelves
from pipelines.report.model_card import render_model_card
from pipelines.report.page import render_page


def run(root: Path, data: config.Data) -> None:
    """Write reports/html/index.html and reports/model_card.md, whatever the gate said.

    Raises:
        InvalidDataError: a file that an earlier stage writes is absent or damaged.
        ConfigError: the model folder is.
    """
    space = Workspace(root, data.name)
    predictor = Predictor.load(space.model)
    evidence = read_evidence(space, predictor.spec, predictor.operating, predictor.identity)
    shown = evidence.shown if predictor.spec.model.segments else ()
    write_text(space.html, render_page(evidence, _gallery(space.raw, predictor, shown)))
    write_text(space.model_card, render_model_card(evidence))


def _gallery(raw: Path, predictor: Predictor, cases: tuple[Case, ...]) -> tuple[DrawnShelf, ...]:
    shelves = choose(cases)
    names = [case.image for shelf in shelves for case in shelf.cases]
    images = [decode_grey((raw / name).read_bytes(), name) for name in names]
    masks = {sample.image: sample.masks for sample in scan(raw)}
    truths = [
        _truth([raw / mask for mask in masks[name]], image)
        for name, image in zip(names, images, strict=True)
    ]
    predicted = (finding.raw_mask for finding in predictor.predict(images))
    pictures = map(Picture, images, truths, predicted)
    return draw_shelves(shelves, dict(zip(names, pictures, strict=True)))


def _truth(masks: Sequence[Path], image: Grey) -> Mask:
    return read_mask(masks) if masks else np.zeros(image.shape, dtype=np.bool_)
