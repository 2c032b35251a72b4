"""What can be measured of an image and its mask to judge their quality, a function a fact."""

import numpy as np
from scipy import ndimage

from hgmnet.data.busi import Mask
from hgmnet.data.images import Grey, Rgb

DARK = 10
"""Grey (0-255) up to which a pixel shows nothing."""

_CHROMA = 8  # levels between a pixel's channels: JPEG's rounding reaches 3
_BITS = {"1": 1, "I": 32, "F": 32}


def bit_depth(mode: str) -> int:
    """Bits a channel of a colour mode as PIL calls it."""
    return _BITS.get(mode, 16 if mode.startswith("I;16") else 8)


def dark_share(grey: Grey) -> float:
    """The share of pixels that show nothing, 0 to 1, of (H, W) uint8."""
    return float((grey <= DARK).mean())


def saturated_share(grey: Grey) -> float:
    """The share of pixels at full white, 0 to 1, of (H, W) uint8."""
    return float((grey == 255).mean())


def colour_share(rgb: Rgb) -> float:
    """The share of pixels that are no grey, 0 to 1, of (H, W, 3) uint8."""
    red, green, blue = np.moveaxis(rgb, 2, 0)
    lowest, highest = np.minimum(red, green), np.maximum(red, green)
    chroma = np.maximum(highest, blue) - np.minimum(lowest, blue)
    return float((chroma > _CHROMA).mean())


def part_areas(mask: Mask) -> tuple[int, ...]:
    """The pixels of each part of (H, W) bool that hangs together, corners included; ascending."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    return tuple(sorted(np.bincount(parts.ravel())[1:].tolist()))


def border_share(mask: Mask) -> float:
    """The share of the outermost pixels of (H, W) bool that are in the mask, 0 to 1."""
    border = np.ones(mask.shape, np.bool_)
    border[1:-1, 1:-1] = False
    return float(mask[border].mean())
