"""Turn echo levels into a B-mode image: scatterers, point spread, envelope, log compression.

The model is the usual one of fully developed speckle (Wagner et al., IEEE Trans. Sonics Ultrason.
30, 1983): complex Gaussian scatterers whose strength follows the tissue, blurred by a point spread
that widens with depth.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
LOOKS = 2  # independent looks averaged in intensity, as spatial compounding does
NODES_STD = 0.8  # standard deviation of white noise after bicubic interpolation
AXIAL = 0.27  # the point spread along the beam: this fraction to the rows above and below


@dataclass(frozen=True)
class Scanner:
    """The scanner's settings.

    `near`, `far`: lateral spread in px at the top and the bottom; `persistence`: smoothing along a
    row in px; `dynamic_range`, `gain` and `decay` (from top to bottom) in dB.
    """

    near: float
    far: float
    persistence: float
    dynamic_range: float
    gain: float
    decay: float


def draw_machine(rng: np.random.Generator) -> Scanner:
    """Draw settings that vary as between examiners."""
    return Scanner(
        near=rng.uniform(0.8, 1.1),
        far=rng.uniform(1.7, 2.5),
        persistence=rng.uniform(0.8, 1.5),
        dynamic_range=rng.uniform(40, 52),
        gain=rng.normal(0, 3),
        decay=rng.uniform(8, 19),
    )


def bmode(echo: Map, machine: Scanner, rng: np.random.Generator) -> Grey:
    """Compute the image of a tissue: (H, W) uint8, log-compressed to `machine.dynamic_range`.

    `echo`: (H, W) in dB, attenuation included; 0 is mid grey near the skin.
    """
    depth = np.linspace(0, 1, len(echo), dtype=np.float32)[:, None]
    shown = echo + np.float32(machine.gain) - np.float32(machine.decay) * depth**1.3
    amplitude = np.exp(shown * np.float32(np.log(10) / 20))
    spread = machine.near + (machine.far - machine.near) * depth
    intensity = sum(_look(amplitude, spread, rng) for _ in range(LOOKS))
    calm = ndimage.gaussian_filter1d(intensity, machine.persistence, axis=1, truncate=3)
    level = 10 * np.log10(calm / LOOKS + np.float32(1e-6))
    grey = 255 * (level / machine.dynamic_range + 0.53)
    return np.asarray(np.clip(np.rint(grey), 0, 255), dtype=np.uint8)


def smooth_noise(
    shape: tuple[int, int], axial: float, lateral: float, rng: np.random.Generator
) -> Map:
    """Draw a random field (H, W) of mean 0, variance about 1, smooth over some px each way.

    White noise on a grid of that spacing, doubled, with cubic splines between.
    """
    cells = [side / (2 * smooth) for side, smooth in zip(shape, (axial, lateral), strict=True)]
    nodes = rng.standard_normal([math.ceil(cell) + 1 for cell in cells], dtype=np.float32)
    top, left = rng.uniform(0, 0.99, 2)
    box = (left, top, left + cells[1], top + cells[0])
    field = Image.fromarray(nodes).resize(shape[::-1], Image.Resampling.BICUBIC, box)
    return np.asarray(np.asarray(field) / NODES_STD, dtype=np.float32)


def _look(amplitude: Map, spread: Map, rng: np.random.Generator) -> Map:
    """Intensity of one look, of mean 1 where the amplitude is 1."""
    rows, columns = amplitude.shape
    parts = rng.standard_normal((2, rows, columns), dtype=np.float32)
    scatterers = (parts[0] + 1j * parts[1]) * amplitude
    width = fft.next_fast_len(columns + 8)
    spectrum = fft.fft(scatterers, width, axis=1)
    scale = np.asarray(-2 * np.pi**2 * fft.fftfreq(width) ** 2, dtype=np.float32)
    spectrum *= np.exp(scale * np.square(spread, dtype=np.float32))  # of a Gaussian
    signal = fft.ifft(spectrum, axis=1)[:, :columns]
    blurred = signal.copy()
    blurred[1:] += AXIAL * signal[:-1]
    blurred[:-1] += AXIAL * signal[1:]
    power = (1 + 2 * AXIAL**2) / (2 * np.pi**0.5 * spread)  # of white noise of power 1
    return np.asarray((blurred.real**2 + blurred.imag**2) / (2 * power), dtype=np.float32)
