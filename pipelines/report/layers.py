"""What can be laid over an image: the maps that a model has, each with its name."""

from collections.abc import Sequence

import numpy as np

from hgmnet import attribution
from hgmnet.data.resample import Grey, Prob, fit_image
from hgmnet.inference import Predictor
from hgmnet.maps import cropped, maps
from pipelines.report import heat

Layers = tuple[tuple[heat.Layer, Prob], ...]


def layers(predictor: Predictor, images: Sequence[Grey]) -> list[Layers]:
    """Of each image, grey (H, W) uint8, what the model has of it: maps in [0, 1], on its extent."""
    spec, model = predictor.spec, predictor.spec.model
    square = np.stack([fit_image(image, spec.prepare) for image in images])
    found: list[tuple[heat.Layer, Prob]] = []
    if model.segments:
        seen = maps(predictor.network, spec, square, mirror=predictor.operating.mirror)
        found.append((heat.PROB, seen.mask_prob))
        found += [(heat.COARSE, seen.coarse_mask_prob)] if model.coarse else []
        gates = enumerate(seen.gates, start=1)
        found += [(heat.gate(scale, gate.shape[-1]), gate) for scale, gate in gates]
    if model.classifies:
        moved = attribution.evidence(predictor.network, spec, square)
        found.append((heat.EVIDENCE, heat.relative(moved)))
    return [
        tuple(
            (layer, cropped(values[i], image.shape[0], image.shape[1], spec))
            for layer, values in found
        )
        for i, image in enumerate(images)
    ]
