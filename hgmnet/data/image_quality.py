"""Measures of an image's quality: darkness, saturation, colour, mask parts, burned-in marks."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hgmnet.data.images import Grey, Rgb
from hgmnet.data.resize import Mask

DARK = 10  # grey (0-255) up to which a pixel has no signal

_CHROMA = 8  # levels between a pixel's channels: JPEG's rounding reaches 3
_LISTED = 8  # values of masks that are listed
_BITS = {"1": 1, "I": 32, "F": 32}


def bit_depth(mode: str) -> int:
    """Bits per channel of a colour mode, by PIL's name for it."""
    return _BITS.get(mode, 16 if mode.startswith("I;16") else 8)


def dark_share(grey: Grey) -> float:
    """Fraction of pixels without signal, in [0, 1], of (H, W) uint8."""
    return float((grey <= DARK).mean())


def saturated_share(grey: Grey) -> float:
    """Fraction of pixels at full white, in [0, 1], of (H, W) uint8."""
    return float((grey == 255).mean())


COLOUR = 0.005
"""Fraction of coloured pixels above which an image is not plain B-mode: Doppler, elastography."""


def colour_share(rgb: Rgb) -> float:
    """Fraction of pixels that are not grey, in [0, 1], of (H, W, 3) uint8."""
    red, green, blue = np.moveaxis(rgb, 2, 0)
    lowest, highest = np.minimum(red, green), np.maximum(red, green)
    chroma = np.maximum(highest, blue) - np.minimum(lowest, blue)
    return float((chroma > _CHROMA).mean())


def part_areas(mask: Mask) -> tuple[int, ...]:
    """Sizes of the 8-connected components of (H, W) bool, in pixels, ascending."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    return tuple(sorted(np.bincount(parts.ravel())[1:].tolist()))


def border_share(mask: Mask) -> float:
    """Fraction of the outermost pixels of (H, W) bool that are in the mask, in [0, 1]."""
    border = np.ones(mask.shape, np.bool_)
    border[1:-1, 1:-1] = False
    return float(mask[border].mean())


_STROKE = np.ones((7, 7), np.uint8)  # px; burned-in strokes are thinner
_BRIGHT = 170
_STEP = 60  # grey levels between a mark and its surroundings
_EVEN = 6  # minimum step, in standard deviations of the mark's own grey levels
_AREA = 10  # px: more than a dot of a dotted line
_HEIGHTS = (7, 40)
_WIDTHS = (3, 40)
_CORNER = (48, 32)  # px: where vendors put the sign of the probe's orientation

Part = tuple[slice, slice]


def count_marks(grey: Grey) -> int:
    """Count letters, digits, caliper crosses and the like in (H, W) uint8.

    A vendor's sign in an upper corner is not counted: nearly every image has one. Text on equally
    bright tissue, and text cut off by the image's edge, may be missed.
    """
    around = cv2.morphologyEx(grey, cv2.MORPH_OPEN, _STROKE)
    thin = (cv2.subtract(grey, around) >= _STEP) & (grey >= _BRIGHT)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8), connectivity=8)
    worth = _letter_sized(stats.tolist(), grey.shape[1])
    numbers = np.asarray(parts, np.int32)
    return sum(_is_drawn(grey[box], numbers[box], number) for number, box in worth)


def _letter_sized(stats: list[list[int]], width: int) -> Iterator[tuple[int, Part]]:
    """Yield components of a letter's size, padded by one pixel, away from the upper corners."""
    for number, (x, y, w, h, area) in enumerate(stats):
        fits = _HEIGHTS[0] <= h <= _HEIGHTS[1] and _WIDTHS[0] <= w <= _WIDTHS[1]
        beside = x + w <= _CORNER[0] or x >= width - _CORNER[0]
        if number and fits and area >= _AREA and not (beside and y + h <= _CORNER[1]):
            yield number, np.s_[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1]


def _is_drawn(grey: Grey, parts: NDArray[np.int32], number: int) -> bool:
    """Whether a component is evenly bright and directly surrounded by darker pixels."""
    part = parts == number
    rim = cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & (parts == 0)
    step = float(np.median(grey[part]) - np.median(grey[rim]))
    return step >= max(_STEP, _EVEN * float(grey[part].std()))


def stray_values(masks: Iterable[NDArray[np.integer]]) -> str:
    """List the values of the masks that are not black and white (0 and 255); empty if all are."""
    odd = [np.unique(mask) for mask in masks if not ((mask == 0) | (mask == 255)).all()]
    found = sorted({int(value) for values in odd for value in values})
    rest = f", ... {found[-1]} ({len(found)} values)" if len(found) > _LISTED else ""
    return ", ".join(map(str, found[:_LISTED])) + rest
