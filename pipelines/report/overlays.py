"""Maps as colours to lay over an image, and which maps a model has."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from hgmnet.data.resize import Grey, Prob, resize_to_input
from hgmnet.evaluation import saliency
from hgmnet.inference.maps import cropped, maps
from hgmnet.inference.predictor import TorchPredictor

SIDE = 128
"""A map's longer side in the report, at most, px; the page stretches it over the picture."""

_STOPS = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
"""Of matplotlib's inferno: from black over red to pale yellow, each step looking as large."""


@dataclass(frozen=True)
class Layer:
    """A kind of map: `key` for the style sheet, `name` for people, `note` says what it shows."""

    key: str
    name: str
    note: str


PROB = Layer("prob", "Probability", "the fine net’s lesion probability")
COARSE = Layer("coarse", "Coarse probability", "the coarse net’s, which gates the fine net")
EVIDENCE = Layer(
    "evidence",
    "Class evidence",
    "how much the class answer moves with each pixel, of the image’s own largest",
)


def gate(scale: int, cells: int) -> Layer:
    """The gate of one scale (1 is the finest), of so many cells a side."""
    note = f"what the gate lets through, on {cells} × {cells} cells"
    return Layer(f"gate{scale}", f"Gate {scale}", note)


def heat_uri(values: Prob) -> str:
    """A map (H, W) in [0, 1] as the address of a PNG within the page."""
    shades = np.rint(255 * np.clip(shrunk(values), 0, 1)).astype(np.uint8)
    picture = Image.fromarray(shades, "L").convert("P")
    picture.putpalette(palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def gradient() -> str:
    """The colours from 0 to 1 as the stops of a CSS gradient."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in _STOPS)


def relative(maps: Prob) -> Prob:
    """Maps (B, H, W) not below 0, averaged over 3 x 3 cells, each of its own largest value."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    smooth = sliding_window_view(padded, (3, 3), axis=(1, 2)).mean(axis=(3, 4))
    top = smooth.max(axis=(1, 2), keepdims=True)
    return np.asarray(smooth / np.where(top > 0, top, 1), dtype=np.float32)


def shrunk(values: Prob) -> Prob:
    """A map whose longer side is `SIDE` px at most; means of the cells that become one."""
    height, width = values.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def palette() -> bytes:
    """256 colours, three bytes each, from 0 to 1."""
    at = np.linspace(0, 1, 256)
    stops = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(at, stops, shade) for shade in zip(*_STOPS, strict=True)]
    return bytes(np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes())


Layers = tuple[tuple[Layer, Prob], ...]


def layers(predictor: TorchPredictor, images: Sequence[Grey]) -> list[Layers]:
    """Of each image, grey (H, W) uint8, what the model has of it: maps in [0, 1], on its extent."""
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
        moved = saliency.evidence(predictor.network, spec, square)
        found.append((EVIDENCE, relative(moved)))
    return [
        tuple(
            (layer, cropped(values[i], image.shape[0], image.shape[1], spec))
            for layer, values in found
        )
        for i, image in enumerate(images)
    ]
