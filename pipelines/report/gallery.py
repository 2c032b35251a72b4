"""Choose the images of the gallery and draw them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from hgmnet.config.base import MALIGNANT
from hgmnet.data.resize import Grey, Mask, Prob
from hgmnet.evaluation.model_maps import Layer
from hgmnet.pages.html import data_uri, fit
from hgmnet.pages.overlays import heat_uri, outline
from pipelines.report.inputs import EvaluatedImage

BENIGN = "benign"
EACH = 4
"""Maximum number of images per row of the gallery."""


@dataclass(frozen=True)
class GalleryRow:
    """A row of the gallery; `note` states how the images were chosen."""

    name: str
    note: str
    cases: tuple[EvaluatedImage, ...]


def choose(
    cases: Sequence[EvaluatedImage], *, segments: bool = True, classifies: bool = True
) -> tuple[GalleryRow, ...]:
    """Choose the worst of each kind of failure, and the best, median and worst lesions by Dice.

    `cases`: images of one split. `segments`, `classifies`: what the model predicts.
    """
    lesions = [case for case in cases if case.dice is not None]
    masks = (*_by_dice(lesions), _missed(lesions), _false(cases)) if segments else ()
    return masks + ((_alarms(cases), _overlooked(cases)) if classifies else ())


def _by_dice(lesions: Sequence[EvaluatedImage]) -> tuple[GalleryRow, ...]:
    """Best, median and worst lesions; no image twice."""
    ranked = sorted(lesions, key=lambda c: (c.dice, c.image))
    each = min(EACH, -(-len(ranked) // 3))
    worst, rest = ranked[:each], ranked[each:]
    best = rest[max(0, len(rest) - each) :]
    between = rest[: len(rest) - len(best)]
    start = max(0, (len(between) - each) // 2)
    middle = between[start : start + each]
    of = f"of {len(ranked)} lesions, by Dice"
    return (
        GalleryRow("Best", f"the {len(best)} best {of}", tuple(reversed(best))),
        GalleryRow("Median", f"the {len(middle)} around the median {of}", tuple(reversed(middle))),
        GalleryRow("Worst", f"the {len(worst)} worst {of}", tuple(worst)),
    )


def _missed(lesions: Sequence[EvaluatedImage]) -> GalleryRow:
    missed = sorted((c for c in lesions if not c.tp), key=lambda c: (-c.area, c.image))
    note = f"{len(missed)} of {len(lesions)} lesions: no pixel found; the largest first"
    return GalleryRow("Missed lesions", note, tuple(missed[:EACH]))


def _false(cases: Sequence[EvaluatedImage]) -> GalleryRow:
    normals = [case for case in cases if case.dice is None]
    served = sorted((c for c in normals if c.served), key=lambda c: (-c.served / c.pixels, c.image))
    raw = sum(case.fp > 0 for case in normals)
    note = (
        f"{len(served)} of {len(normals)} images without a lesion were served a mask, {raw} got "
        "one from the network; the largest first"
        if normals
        else "no image without a lesion in this split"
    )
    return GalleryRow("False lesions", note, tuple(served[:EACH]))


def _alarms(cases: Sequence[EvaluatedImage]) -> GalleryRow:
    benign = [case for case in cases if case.label == BENIGN]
    wrong = [case for case in benign if case.decision == MALIGNANT]
    ranked = sorted(wrong, key=lambda c: (-c.probs[MALIGNANT], c.image))
    note = f"{len(wrong)} of {len(benign)} benign; the most confident first"
    return GalleryRow("Benign called malignant", note, tuple(ranked[:EACH]))


def _overlooked(cases: Sequence[EvaluatedImage]) -> GalleryRow:
    malignant = [case for case in cases if case.label == MALIGNANT]
    wrong = [case for case in malignant if case.decision != MALIGNANT]
    ranked = sorted(wrong, key=lambda c: (c.probs[MALIGNANT], c.image))
    name = "Malignant called benign"
    if any(case.decision != BENIGN for case in wrong):
        name += " or normal"
    note = f"{len(wrong)} of {len(malignant)} malignant; the lowest probability of malignant first"
    return GalleryRow(name, note, tuple(ranked[:EACH]))


SIDE = 400
"""Maximum length of a picture's longer edge in the report, px."""


@dataclass(frozen=True)
class Tile:
    """A drawn image: `svg` with maps and outlines; the caption is `name` and `caption`."""

    name: str
    caption: str
    svg: str


@dataclass(frozen=True)
class DrawnShelf:
    """A gallery row with drawn images; `layers`: the maps over each of them."""

    name: str
    note: str
    tiles: tuple[Tile, ...]
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class GalleryImage:
    """Input of a tile: image, truth and the fine net's mask, all (H, W), and maps.

    A map covers the whole image at its own resolution, with values in [0, 1].
    """

    image: Grey
    truth: Mask
    predicted: Mask
    maps: tuple[tuple[Layer, Prob], ...] = ()


def draw_shelves(
    shelves: Sequence[GalleryRow], pictures: Mapping[str, GalleryImage]
) -> tuple[DrawnShelf, ...]:
    """Draw every image of the rows; the keys of `pictures` are `EvaluatedImage.image`."""
    drawn = []
    for shelf in shelves:
        seen = [pictures[case.image] for case in shelf.cases]
        tiles = tuple(map(draw, shelf.cases, seen))
        layers = tuple(layer for layer, _ in seen[0].maps) if seen else ()
        drawn.append(DrawnShelf(shelf.name, shelf.note, tiles, layers))
    return tuple(drawn)


def list_shelves(shelves: Sequence[GalleryRow]) -> tuple[DrawnShelf, ...]:
    """Return the rows with captions only, for reports without patients' pictures."""
    return tuple(
        DrawnShelf(s.name, s.note, tuple(Tile(case.name, _caption(case), "") for case in s.cases))
        for s in shelves
    )


def draw(case: EvaluatedImage, picture: GalleryImage) -> Tile:
    """Draw an image with truth (solid) and prediction (dashed) outlined, and its caption."""
    size = fit(picture.image, SIDE)
    caption = _caption(case)
    truth, predicted = _extent(picture.truth), _extent(picture.predicted)
    alt = f"Ultrasound image {case.name}, {caption}. Truth: {truth}. Prediction: {predicted}."
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
    return Tile(case.name, caption, svg)


def _layers(picture: GalleryImage, size: tuple[int, int]) -> str:
    """Maps as `<image>` elements over the picture; the page shows at most one of them."""
    return "".join(
        f'<image class="layer {layer.key}" width="{size[0]}" height="{size[1]}" '
        f'preserveAspectRatio="none" href="{heat_uri(values)}"/>'
        for layer, values in picture.maps
    )


def _caption(case: EvaluatedImage) -> str:
    said = _said(case) if case.probs else ""
    dice = "" if case.dice is None else f", Dice {case.dice:.3f}"
    unserved = ", mask not served" if case.tp + case.fp and not case.served else ""
    return f"{case.label}{said}{dice}{unserved}"


def _said(case: EvaluatedImage) -> str:
    """Decision with its probability; for a missed malignant also the probability of malignant."""
    caption = f"{case.decision} {case.probs[case.decision]:.2f}"
    if case.label == MALIGNANT != case.decision:
        caption += f", malignant {case.probs[MALIGNANT]:.2f}"
    return f" → {caption}"


def _extent(mask: Mask) -> str:
    return f"lesion on {100 * mask.mean():.1f} % of the image" if mask.any() else "no lesion"
