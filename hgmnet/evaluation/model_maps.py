"""Maps of an image by a model: probabilities, gates, class evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hgmnet.data.resize import Grey, Prob, resize_to_input
from hgmnet.evaluation import saliency
from hgmnet.inference.maps import cropped, maps
from hgmnet.inference.predictor import TorchPredictor


@dataclass(frozen=True)
class Layer:
    """A kind of map: `key` for the style sheet, `name` for readers, `note` describes it."""

    key: str
    name: str
    note: str


PROB = Layer("prob", "Probability", "the fine net’s lesion probability")
COARSE = Layer("coarse", "Coarse probability", "the coarse net’s, which gates the fine net")
_MOVES = "how much the class answer moves with each pixel, of the image’s own largest"
EVIDENCE = Layer("evidence", "Class evidence", _MOVES)
Layers = tuple[tuple[Layer, Prob], ...]


def layers(predictor: TorchPredictor, images: Sequence[Grey]) -> list[Layers]:
    """Compute the maps of each image, grey (H, W) uint8: in [0, 1], on the image's extent."""
    spec, model = predictor.spec, predictor.spec.model
    square = np.stack([resize_to_input(image, spec.prepare) for image in images])
    found: list[tuple[Layer, Prob]] = []
    if model.segments:
        seen = maps(predictor.network, spec, square, mirror=predictor.operating.mirror)
        found.append((PROB, seen.mask_prob))
        found += [(COARSE, seen.coarse_mask_prob)] if model.coarse else []
        gates = enumerate(seen.gates, start=1)
        found += [(gate(scale, values.shape[-1]), values) for scale, values in gates]
    if model.classifies:
        found.append((EVIDENCE, relative(saliency.evidence(predictor.network, spec, square))))
    return [
        tuple(
            (layer, cropped(values[i], image.shape[0], image.shape[1], spec))
            for layer, values in found
        )
        for i, image in enumerate(images)
    ]


def gate(scale: int, cells: int) -> Layer:
    """Layer of the gate of one scale (1 is the finest), of `cells` x `cells` cells."""
    note = f"the gate’s values, on {cells} × {cells} cells"
    return Layer(f"gate{scale}", f"Gate {scale}", note)


def relative(maps: Prob) -> Prob:
    """Average maps (B, H, W), at least 0, over 3 x 3 cells and divide each by its maximum."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    smooth = sliding_window_view(padded, (3, 3), axis=(1, 2)).mean(axis=(3, 4))
    top = smooth.max(axis=(1, 2), keepdims=True)
    return np.asarray(smooth / np.where(top > 0, top, 1), dtype=np.float32)
