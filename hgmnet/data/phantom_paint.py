"""How a lesion changes the echoes of the tissue around it."""

import numpy as np
from scipy import ndimage

from hgmnet.data.phantom_bmode import Map, Mask, smooth_noise
from hgmnet.data.phantom_lesion import ANGLES, Lesion


def add_lesion(echo: Map, lesion: Lesion, rng: np.random.Generator) -> tuple[Map, Mask]:
    """Put a lesion into a tissue.

    Args:
        echo: (H, W) echo level of the tissue in dB.
        lesion: what to paint; it is moved where it would leave the image.
        rng: texture inside and where microcalcifications lie.

    Returns:
        The echo level with the lesion and what lies behind it, and the lesion's mask, both (H, W).
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
    """Px along the radius from each pixel to the outline (inside above 0), centre, half sides."""
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
    """Microcalcifications: points of strong echo somewhere in the lesion."""
    specks = np.zeros(mask.shape, dtype=np.float32)
    places = np.flatnonzero(mask)
    specks.flat[rng.choice(places, lesion.specks)] = 24
    return specks


def _behind(mask: Mask, lesion: Lesion) -> Map:
    """Shadow or enhancement: grows with the way through the lesion, blurs and fades with depth."""
    way = np.cumsum(mask, axis=0, dtype=np.float32)
    full = np.clip(way / (0.5 * way.max()), 0, 1)
    if lesion.behind < 0:
        return lesion.behind * _fan(full**1.5)
    since = np.cumsum(~mask & (way > 0), axis=0, dtype=np.float32)
    return lesion.behind * _fan(full * np.exp(-since / len(mask) * 1.6))


def _fan(strength: Map) -> Map:
    """Blur along the rows, the more the deeper, as a beam of finite width does."""
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
