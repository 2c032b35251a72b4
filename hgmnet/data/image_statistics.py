"""Statistics of an image's brightness, texture and size, without a model."""

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.base import Frozen
from hgmnet.data.images import Grey

DARK = 16  # grey (0-255) below which a pixel is shadow or margin
_BLOCK = 8  # px; edge length of the squares in which speckle is measured

Light = NDArray[np.float32]


class ImageStatistics(Frozen):
    """Statistics of one image: greys in 0-255, lengths in px.

    `brightness`, `contrast`: mean and standard deviation of grey. `dark`: fraction of the pixels
    below `DARK`. `speckle`: standard deviation over mean of grey within 8 × 8 px; the median over
    the squares that are not dark, 0 if all are. `sharpness`: variance of the Laplacian over
    variance of grey, 0 for a constant image. `aspect`: width over height.
    """

    brightness: float
    contrast: float
    dark: float
    speckle: float
    sharpness: float
    width: float
    height: float
    aspect: float


def measure(grey: Grey) -> ImageStatistics:
    """Measure an image, (H, W) uint8 of any size.

    Multiplying every grey by a factor does not change sharpness, nor speckle while no square
    becomes dark. Values are rounded to 6 significant digits, so that machines agree on them.
    """
    height, width = grey.shape
    light = grey.astype(np.float32)
    facts = {
        "brightness": light.mean(dtype=np.float64),
        "contrast": light.std(dtype=np.float64),
        "dark": (grey < DARK).mean(),
        "speckle": _speckle(light),
        "sharpness": _sharpness(light),
        "width": width,
        "height": height,
        "aspect": width / height,
    }
    return ImageStatistics(**{name: float(f"{value:.6g}") for name, value in facts.items()})


def _speckle(light: Light) -> float:
    """Compute the ratio of standard deviation to mean, speckle theory's measure.

    Burckhardt, "Speckle in ultrasound B-mode scans", IEEE Trans. Sonics Ultrason. 25, 1978.
    """
    rows, columns = (side // _BLOCK for side in light.shape)
    cropped = light[: rows * _BLOCK, : columns * _BLOCK]
    blocks = cropped.reshape(rows, _BLOCK, columns, _BLOCK)
    mean = blocks.mean(axis=(1, 3))
    lit = mean >= DARK
    if not lit.any():
        return 0.0
    return float(np.median(blocks.std(axis=(1, 3))[lit] / mean[lit]))


def _sharpness(light: Light) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the variance of grey."""
    spread = float(light.var(dtype=np.float64))
    if min(light.shape) < 3 or not spread:
        return 0.0
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    laplacian = around - 4 * light[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64)) / spread
