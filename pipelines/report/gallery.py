"""How the images of a report are drawn: maps and outlines over the picture, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from contourpy import contour_generator
from PIL import Image

from hgmnet.config import MALIGNANT
from hgmnet.data.resample import Grey, Mask, Prob
from pipelines.pictures import data_uri, fit
from pipelines.report.evidence import Case
from pipelines.report.heat import Layer, heat_uri
from pipelines.report.shelves import Shelf

SIDE = 400
"""A picture's longer side in the report, in px; a larger one is made smaller."""


@dataclass(frozen=True)
class Tile:
    """One image, drawn: `svg` with maps and outlines, if any; and its caption in two parts."""

    name: str
    told: str
    svg: str


@dataclass(frozen=True)
class DrawnShelf:
    """A shelf whose images are drawn; `layers`: the maps that lie over each of them."""

    name: str
    note: str
    tiles: tuple[Tile, ...]
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Picture:
    """What a tile is drawn from: image, truth and the fine net's mask, all (H, W), and maps.

    A map covers the whole image on a grid of its own, each value in [0, 1].
    """

    image: Grey
    truth: Mask
    predicted: Mask
    maps: tuple[tuple[Layer, Prob], ...] = ()


def draw_shelves(
    shelves: Sequence[Shelf], pictures: Mapping[str, Picture]
) -> tuple[DrawnShelf, ...]:
    """Draw every image of the shelves; `pictures` are looked up by the case's `image`."""
    drawn = []
    for shelf in shelves:
        seen = [pictures[case.image] for case in shelf.cases]
        tiles = tuple(map(draw, shelf.cases, seen))
        layers = tuple(layer for layer, _ in seen[0].maps) if seen else ()
        drawn.append(DrawnShelf(shelf.name, shelf.note, tiles, layers))
    return tuple(drawn)


def list_shelves(shelves: Sequence[Shelf]) -> tuple[DrawnShelf, ...]:
    """The shelves with captions alone, where patients' pictures must not be shown."""
    return tuple(
        DrawnShelf(s.name, s.note, tuple(Tile(case.name, _told(case), "") for case in s.cases))
        for s in shelves
    )


def draw(case: Case, picture: Picture) -> Tile:
    """One image with truth (solid) and prediction (dashed) outlined, and its caption."""
    size = fit(picture.image, SIDE)
    told = _told(case)
    truth, predicted = _extent(picture.truth), _extent(picture.predicted)
    alt = f"Ultrasound image {case.name}, {told}. Truth: {truth}. Prediction: {predicted}."
    outlines = "".join(
        f'<path class="outline {kind}" d="{outline(mask, size)}"/>'
        for kind, mask in (("truth", picture.truth), ("predicted", picture.predicted))
        if mask.any()
    )
    svg = (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(alt)}">'
        f'<image width="{size[0]}" height="{size[1]}" href="{data_uri(picture.image, size)}"/>'
        f"{_layers(picture, size)}{outlines}</svg>"
    )
    return Tile(case.name, told, svg)


def outline(mask: Mask, size: tuple[int, int]) -> str:
    """The border of a mask (H, W) as an SVG path, in px of a picture drawn at `size`.

    Args:
        mask: not empty.
        size: width and height, px.
    """
    small = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    padded = np.pad(np.asarray(small), 1)
    loops = contour_generator(z=padded).lines(padded.max() / 2)  # half, however small the mask
    return "".join(_loop(np.asarray(loop) - 0.5) for loop in loops)


def _layers(picture: Picture, size: tuple[int, int]) -> str:
    """The maps, stretched over the picture; the page shows one of them or none."""
    return "".join(
        f'<image class="layer {layer.key}" width="{size[0]}" height="{size[1]}" '
        f'preserveAspectRatio="none" href="{heat_uri(values)}"/>'
        for layer, values in picture.maps
    )


def _told(case: Case) -> str:
    said = _said(case) if case.probs else ""
    dice = "" if case.dice is None else f", Dice {case.dice:.3f}"
    unserved = ", mask not served" if case.tp + case.fp and not case.served else ""
    return f"{case.label}{said}{dice}{unserved}"


def _said(case: Case) -> str:
    """The decision with its probability; of a wrong one about malignant, malignant's too."""
    told = f"{case.decision} {case.probs[case.decision]:.2f}"
    if case.label == MALIGNANT != case.decision:
        told += f", malignant {case.probs[MALIGNANT]:.2f}"
    return f" → {told}"


def _extent(mask: Mask) -> str:
    return f"lesion on {100 * mask.mean():.1f} % of the image" if mask.any() else "no lesion"


def _loop(points: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
