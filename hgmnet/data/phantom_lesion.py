"""What a lesion is like, drawn at random; `hgmnet.data.phantom_paint` puts it into a tissue.

Benign and malignant differ by form (smooth, wide, sharp against angular, tall, ill-defined) and by
what lies behind them (enhancement against shadow). Area, echo level and place come from the same
distributions, so that neither size nor brightness tells them apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hgmnet.data.phantom_bmode import Map

ANGLES = np.linspace(0, 2 * np.pi, 361, dtype=np.float32)
SMALLEST, LARGEST = 0.03, 0.20  # share of the image
SIGN = 0.90  # share of the lesions with something to see behind them
SECOND = 0.06  # share of the images with a second lesion


@dataclass(frozen=True)
class Site:
    """What tells nothing about the kind of a lesion.

    `x` and `y` are the centre as shares of width and height, `area` a share of the image, `level`
    the mean echo inside in dB.
    """

    x: float
    y: float
    area: float
    level: float


@dataclass(frozen=True)
class Lesion:
    """One lesion as it will be painted.

    `tall` is height over width, `contour` the relative radius at `ANGLES`. `edge` is the width of
    the border in px and `rim` what it adds in dB (`halo` px wide); `texture` is the spread inside
    in dB; `behind` is what the echoes gain or lose behind the lesion, in dB; `flanks` what they
    lose behind its two sides; `specks` counts microcalcifications.
    """

    site: Site
    tall: float
    contour: Map
    edge: float
    rim: float
    halo: float
    texture: float
    behind: float
    flanks: float
    specks: int


def draw_lesions(malignant: bool, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Draw the lesions of one image: one, rarely two of a kind side by side."""
    draw = _malignant if malignant else _benign
    return tuple(draw(site, rng) for site in _sites(rng))


def _sites(rng: np.random.Generator) -> tuple[Site, ...]:
    y = rng.normal(0.44, 0.07)
    area = float(np.clip(np.exp(rng.normal(np.log(0.075), 0.45)), SMALLEST, LARGEST))
    level = rng.uniform(-22, -17) if rng.random() < 0.25 else rng.uniform(-16, -8.5)
    if rng.random() >= SECOND:
        return (Site(rng.uniform(0.3, 0.7), y, area, level),)
    area = min(area, 0.1)
    return Site(0.28, y, 0.6 * area, level), Site(0.76, y, 0.4 * area, level)


def _benign(site: Site, rng: np.random.Generator) -> Lesion:
    """Wider than tall, sharp, even, with a thin capsule; the tissue behind it is brighter."""
    sign = rng.random() < SIGN
    return Lesion(
        site=site,
        tall=float(np.clip(np.exp(rng.normal(np.log(0.62), 0.16)), 0.42, 1.0)),
        contour=_smooth(rng),
        edge=rng.uniform(0.4, 0.8),
        rim=rng.uniform(4, 9),
        halo=1.2,
        texture=rng.uniform(0.3, 1.5),
        behind=sign * rng.uniform(5, 10),
        flanks=sign * rng.uniform(3, 7),
        specks=int(rng.integers(1, 4)) if rng.random() < 0.08 else 0,
    )


def _malignant(site: Site, rng: np.random.Generator) -> Lesion:
    """Often taller than wide, angular, ill-defined in a broad halo, uneven; a shadow behind it."""
    sign = rng.random() < SIGN
    return Lesion(
        site=site,
        tall=float(np.clip(np.exp(rng.normal(np.log(1.08), 0.2)), 0.65, 1.6)),
        contour=_angular(rng),
        edge=rng.uniform(1.2, 2.4),
        rim=rng.uniform(2, 6),
        halo=rng.uniform(4, 8),
        texture=rng.uniform(2.5, 5),
        behind=-sign * rng.uniform(9, 19),
        flanks=0.0,
        specks=int(rng.integers(4, 12)) if rng.random() < 0.45 else 0,
    )


def _smooth(rng: np.random.Generator) -> Map:
    """An oval, sometimes with a few gentle lobes."""
    lobes = rng.uniform(0.03, 0.08) if rng.random() < 0.3 else 0.02
    orders = np.arange(2, 6)
    size = lobes * rng.uniform(0.3, 1, 4)
    return _waves(orders, size, rng)


def _angular(rng: np.random.Generator) -> Map:
    """An irregular outline with corners and spicules."""
    orders = np.arange(2, 13)
    size = rng.uniform(0.06, 0.16) * rng.uniform(0.3, 1, 11) / orders**0.5 * 1.5
    contour = _waves(orders, size, rng)
    for _ in range(rng.integers(3, 10)):
        turn = np.angle(np.exp(1j * (ANGLES - rng.uniform(0, 2 * np.pi))))
        contour += rng.uniform(0.1, 0.45) * np.exp(-np.abs(turn) / rng.uniform(0.06, 0.16))
    return np.maximum(contour, 0.35).astype(np.float32)


def _waves(orders: NDArray[np.int_], size: NDArray[np.float64], rng: np.random.Generator) -> Map:
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    waves = size[:, None] * np.cos(orders[:, None] * ANGLES + phases[:, None])
    return np.asarray(1 + waves.sum(0), dtype=np.float32)
