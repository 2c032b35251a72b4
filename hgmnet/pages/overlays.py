"""Overlays on an image: maps as colours, a mask's outline."""

import base64

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, label
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from hgmnet.data.images import png_file
from hgmnet.data.reader import ImageInput, read_grey
from hgmnet.data.resize import Mask, Prob
from hgmnet.errors import InvalidDataError

SIDE = 128  # maximum longer edge of a map in a page, px; the page stretches it over the picture

_OUTLINE = (240, 160, 0)
_STOPS = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
"""matplotlib's inferno: from black over red to pale yellow, perceptually uniform."""


def overlay(image: ImageInput, mask: Mask) -> Image.Image:
    """Draw the lesion's outline on the grey image; `mask`: (H, W) bool, possibly empty.

    Raises:
        InvalidDataError: the image can't be read, or the mask has another size.
    """
    grey = read_grey(image)
    if mask.shape != grey.shape:
        sizes = f"{grey.shape}, got {mask.shape}"
        raise InvalidDataError(f"expected a mask of the image's size {sizes}")
    rgb = np.repeat(grey[..., None], 3, axis=2)
    width = max(1, round(max(grey.shape) / 300))
    rgb[mask & ~binary_erosion(mask, iterations=width)] = _OUTLINE
    return Image.fromarray(rgb)


def outline(mask: Mask, size: tuple[int, int]) -> str:
    """SVG path of a mask's border, (H, W), not empty, in a picture of `size` (width, height) px."""
    small = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    padded = np.pad(np.asarray(small), 1)
    loops = contour_generator(z=padded).lines(padded.max() / 2)  # half, however small the mask
    points = ((f"{x:.1f} {y:.1f}" for x, y in np.asarray(loop) - 0.5) for loop in loops)
    return "".join(f"M{'L'.join(loop)}Z" for loop in points)


def calipers(mask: Mask) -> NDArray[np.float64]:
    """Measure the largest part of a mask, (H, W) bool, not empty, as calipers do.

    Returns:
        Two lines (x, y) to (x, y) in px, (2, 2, 2): the longest diameter, between the outer edges
        of pixels; and the extent at a right angle to it, drawn through its middle.
    """
    parts, _ = label(mask, np.ones((3, 3)))
    rows, columns = np.nonzero(parts == 1 + np.bincount(parts.ravel())[1:].argmax())
    corners = np.concatenate(
        [np.column_stack([columns + x, rows + y]) for x in (0, 1) for y in (0, 1)]
    ).astype(np.float64)
    points = corners[ConvexHull(corners).vertices]
    between = cdist(points, points)
    start, end = (points[i] for i in np.unravel_index(between.argmax(), between.shape))
    across = np.array([start[1] - end[1], end[0] - start[0]]) / between.max()
    reach = (points - start) @ across
    middle = (start + end) / 2
    return np.array([[start, end], [middle + reach.min() * across, middle + reach.max() * across]])


def heat_uri(values: Prob) -> str:
    """Encode a map (H, W) in [0, 1] as the data URI of a PNG."""
    shades = np.rint(255 * np.clip(shrunk(values), 0, 1)).astype(np.uint8)
    picture = Image.fromarray(shades, "L").convert("P")
    picture.putpalette(palette())
    return png_uri(png_file(picture, optimize=True))


def png_uri(content: bytes) -> str:
    """Encode the bytes of a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def gradient() -> str:
    """Colours from 0 to 1 as the stops of a CSS gradient."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in _STOPS)


def shrunk(values: Prob) -> Prob:
    """Shrink a map to a longer edge of at most `SIDE` px, averaging cells."""
    height, width = values.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def palette() -> bytes:
    """Return 256 colours, three bytes each, from 0 to 1."""
    at = np.linspace(0, 1, 256)
    stops = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(at, stops, shade) for shade in zip(*_STOPS, strict=True)]
    return bytes(np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes())
