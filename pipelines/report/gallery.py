"""Which images a reader should see, and how each is drawn: outlines over the picture, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from contourpy import contour_generator
from PIL import Image

from hgmnet.data.resample import Grey, Mask
from pipelines.pictures import data_uri, fit
from pipelines.report.evidence import Case

EACH = 4
"""Images in a shelf, at most."""

SIDE = 400
"""A picture's longer side in the report, in px; a larger one is made smaller."""


@dataclass(frozen=True)
class Shelf:
    """A row of the gallery: `name` says which images, `note` how they were chosen."""

    name: str
    note: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Tile:
    """One image, drawn: `svg` with outlines, and its caption in two parts."""

    name: str
    told: str
    svg: str


@dataclass(frozen=True)
class DrawnShelf:
    """A shelf whose images are drawn."""

    name: str
    note: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Picture:
    """What a tile is drawn from, all (H, W): the image, its truth, the fine net's mask."""

    image: Grey
    truth: Mask
    predicted: Mask


def choose(cases: Sequence[Case]) -> tuple[Shelf, ...]:
    """Best, middle and worst lesions by Dice, no image twice, and the normals that look worst."""
    lesions = sorted((c for c in cases if c.dice is not None), key=lambda c: (c.dice, c.image))
    each = min(EACH, -(-len(lesions) // 3))
    worst, rest = lesions[:each], lesions[each:]
    best = rest[max(0, len(rest) - each) :]
    between = rest[: len(rest) - len(best)]
    start = max(0, (len(between) - each) // 2)
    middle = between[start : start + each]
    normals = [c for c in cases if c.dice is None]
    false = sorted((c for c in normals if c.fp), key=lambda c: (-c.fp / c.pixels, c.image))
    of = f"of {len(lesions)} lesions, by Dice"
    return (
        Shelf("Best", f"the {len(best)} best {of}", tuple(reversed(best))),
        Shelf("Median", f"the {len(middle)} around the median {of}", tuple(reversed(middle))),
        Shelf("Worst", f"the {len(worst)} worst {of}", tuple(worst)),
        Shelf("Normals with a false lesion", _normals(normals, false), tuple(false[:EACH])),
    )


def draw_shelves(
    shelves: Sequence[Shelf], pictures: Mapping[str, Picture]
) -> tuple[DrawnShelf, ...]:
    """Draw every image of the shelves; `pictures` are looked up by the case's `image`."""
    return tuple(
        DrawnShelf(s.name, s.note, tuple(draw(case, pictures[case.image]) for case in s.cases))
        for s in shelves
    )


def draw(case: Case, picture: Picture) -> Tile:
    """One image with truth (solid) and prediction (dashed) outlined, and its caption."""
    size = fit(picture.image, SIDE)
    told = _told(case)
    truth, predicted = _extent(picture.truth), _extent(picture.predicted)
    alt = f"Ultrasound image {case.name}, {told}. Truth: {truth}. Prediction: {predicted}."
    outlines = "".join(
        f'<path class="outline {kind}" d="{_outline(mask, size)}"/>'
        for kind, mask in (("truth", picture.truth), ("predicted", picture.predicted))
        if mask.any()
    )
    svg = (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(alt)}">'
        f'<image width="{size[0]}" height="{size[1]}" href="{data_uri(picture.image, size)}"/>'
        f"{outlines}</svg>"
    )
    return Tile(case.name, told, svg)


def _normals(normals: Sequence[Case], false: Sequence[Case]) -> str:
    if not normals:
        return "no normal image in this split"
    kept = sum(case.served > 0 for case in false)
    return (
        f"{len(false)} of {len(normals)} normals got a mask from the network, "
        f"{kept} of them also as served"
    )


def _told(case: Case) -> str:
    said = f" → {case.decision} ({case.probs[case.decision]:.2f})" if case.probs else ""
    dice = "" if case.dice is None else f", Dice {case.dice:.3f}"
    unserved = ", mask not served" if case.tp + case.fp and not case.served else ""
    return f"{case.label}{said}{dice}{unserved}"


def _extent(mask: Mask) -> str:
    return f"lesion on {100 * mask.mean():.1f} % of the image" if mask.any() else "no lesion"


def _outline(mask: Mask, size: tuple[int, int]) -> str:
    """The border of a mask that is not empty as an SVG path, in px of the drawn picture."""
    small = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    padded = np.pad(np.asarray(small), 1)
    loops = contour_generator(z=padded).lines(padded.max() / 2)  # half, however small the mask
    return "".join(_loop(np.asarray(loop) - 0.5) for loop in loops)


def _loop(points: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
