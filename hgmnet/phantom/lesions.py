"""Draw lesions at random, and add them to the echoes of a tissue.

Benign and malignant differ by form (smooth, wide, sharp against angular, tall, ill-defined) and by
the tissue behind them (enhancement against shadow). Area, echo level and place come from the same
distributions, so that neither size nor brightness distinguishes them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hgmnet.phantom.bmode import Map, Mask, smooth_noise

ANGLES = np.linspace(0, 2 * np.pi, 361, dtype=np.float32)
SMALLEST, LARGEST = 0.03, 0.20  # fraction of the image
SIGN = 0.90  # fraction of the lesions with enhancement or shadow behind them
SECOND = 0.06  # fraction of the images with a second lesion


@dataclass(frozen=True)
class Site:
    """The properties of a lesion that do not depend on its kind.

    `x` and `y` are the centre as fractions of width and height, `area` a fraction of the image,
    `level` the mean echo inside in dB.
    """

    x: float
    y: float
    area: float
    level: float


@dataclass(frozen=True)
class Lesion:
    """One lesion's shape and appearance.

    `tall` is height over width, `contour` the relative radius at `ANGLES`. `edge` is the width of
    the border in px, and `rim` its gain in dB (`halo` px wide); `texture` is the spread inside in
    dB; `behind` is the gain or loss of the echoes behind the lesion, in dB; `flanks` is the loss
    behind its two sides; `specks` is the number of microcalcifications.
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
    return _waves(np.arange(2, 6), lobes * rng.uniform(0.3, 1, 4), rng)


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


def add_lesion(echo: Map, lesion: Lesion, rng: np.random.Generator) -> tuple[Map, Mask]:
    """Add a lesion to a tissue, (H, W) echo level in dB; it is moved if it would leave the image.

    Returns:
        The echo level with the lesion and its shadow or enhancement, and its mask, both (H, W).
    """
    inward, centre, half = _inward(echo.shape, lesion)
    mask = inward > 0
    share = 1 / (1 + np.exp(-np.clip(inward / lesion.edge, -30, 30)))
    inside = lesion.texture * smooth_noise(echo.shape, 2.5, 3.5, rng) + _specks(mask, lesion, rng)
    rim = lesion.rim * np.exp(-(((inward + lesion.halo) / lesion.halo) ** 2))
    painted = echo * (1 - share) + inside * share + rim
    painted += _behind(mask, lesion) + _flanks(echo.shape, centre, half, lesion)
    painted += share * (lesion.site.level - painted[mask].mean())
    return np.asarray(painted, dtype=np.float32), mask


def _inward(
    shape: tuple[int, ...], lesion: Lesion
) -> tuple[Map, tuple[float, float], tuple[float, float]]:
    """Px along the radius from each pixel to the outline (positive inside), centre, half axes."""
    height, width = shape
    share = np.trapezoid(lesion.contour**2, ANGLES) / 2
    scale = np.sqrt(lesion.site.area * height * width / share)
    down, right = scale * lesion.tall**0.5, scale * lesion.tall**-0.5
    outline = lesion.contour * np.stack([down * np.sin(ANGLES), right * np.cos(ANGLES)])
    centre = tuple(
        float(np.clip(at * side, margin - low.min(), side - 2 - low.max()))
        for at, side, low, margin in zip(
            (lesion.site.y, lesion.site.x), shape, outline, (0.07 * height, 2), strict=True
        )
    )
    y = (np.arange(height, dtype=np.float32)[:, None] - centre[0]) / down
    x = (np.arange(width, dtype=np.float32) - centre[1]) / right
    contour = np.interp(np.arctan2(y, x) % (2 * np.pi), ANGLES, lesion.contour)
    inward = (scale * (contour - np.hypot(y, x))).astype(np.float32)
    return inward, (centre[0], centre[1]), (down, right)


def _specks(mask: Mask, lesion: Lesion, rng: np.random.Generator) -> Map:
    """Draw microcalcifications: points of strong echo at random places in the lesion."""
    specks = np.zeros(mask.shape, dtype=np.float32)
    places = np.flatnonzero(mask)
    specks.flat[rng.choice(places, lesion.specks)] = 24
    return specks


def _behind(mask: Mask, lesion: Lesion) -> Map:
    """Shadow or enhancement: grows with the path through the lesion, blurs and fades with depth."""
    way = np.cumsum(mask, axis=0, dtype=np.float32)
    full = np.clip(way / (0.5 * way.max()), 0, 1)
    if lesion.behind < 0:
        return lesion.behind * _fan(full**1.5)
    since = np.cumsum(~mask & (way > 0), axis=0, dtype=np.float32)
    return lesion.behind * _fan(full * np.exp(-since / len(mask) * 1.6))


def _fan(strength: Map) -> Map:
    """Blur along the rows, increasing with depth, as a beam of finite width does."""
    near = ndimage.gaussian_filter1d(strength, 1.5, axis=1)
    far = ndimage.gaussian_filter1d(strength, 6.0, axis=1, truncate=2.5)
    depth = np.linspace(0, 1, len(strength), dtype=np.float32)[:, None]
    return np.asarray(near + depth * (far - near), dtype=np.float32)


def _flanks(
    shape: tuple[int, ...], centre: tuple[float, float], half: tuple[float, float], lesion: Lesion
) -> Map:
    """Thin shadows behind the two sides of a smooth lesion, where the beam is bent away."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] - centre[0]
    x = np.arange(shape[1], dtype=np.float32) - centre[1]
    line = np.exp(-(((np.abs(x) - half[1] - 0.03 * y) / 3.0) ** 2))
    return np.asarray(-lesion.flanks * line * np.clip(y / half[0] - 0.2, 0, 1), dtype=np.float32)
