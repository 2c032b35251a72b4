"""What is laid over an image: maps as colours, a mask's outline."""

import base64

import numpy as np
from contourpy import contour_generator
from PIL import Image
from scipy.ndimage import binary_erosion

from hgmnet.data.dicom import ImageInput, read_grey
from hgmnet.data.images import png_file
from hgmnet.data.resize import Mask, Prob
from hgmnet.errors import InvalidDataError

SIDE = 128  # a map's longer side in a page, at most, px; the page stretches it over the picture

_OUTLINE = (240, 160, 0)
_STOPS = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
    *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
"""Of matplotlib's inferno: from black over red to pale yellow, each step looking as large."""


def overlay(image: ImageInput, mask: Mask) -> Image.Image:
    """The image, in grey, with the lesion's outline on it; `mask`: (H, W) bool, perhaps empty.

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
    """The border of a mask (H, W), not empty, as an SVG path in a picture of this width, height."""
    small = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    padded = np.pad(np.asarray(small), 1)
    loops = contour_generator(z=padded).lines(padded.max() / 2)  # half, however small the mask
    points = ((f"{x:.1f} {y:.1f}" for x, y in np.asarray(loop) - 0.5) for loop in loops)
    return "".join(f"M{'L'.join(loop)}Z" for loop in points)


def heat_uri(values: Prob) -> str:
    """A map (H, W) in [0, 1] as the address of a PNG within the page."""
    shades = np.rint(255 * np.clip(shrunk(values), 0, 1)).astype(np.uint8)
    picture = Image.fromarray(shades, "L").convert("P")
    picture.putpalette(palette())
    return png_uri(png_file(picture, optimize=True))


def png_uri(content: bytes) -> str:
    """A PNG file as an address within the page."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def gradient() -> str:
    """The colours from 0 to 1 as the stops of a CSS gradient."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in _STOPS)


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
