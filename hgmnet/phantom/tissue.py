"""The tissue around a lesion: skin, fat lobules, gland, pectoral muscle, ribs; levels in dB."""

import numpy as np

from hgmnet.phantom.bmode import Map, smooth_noise

SKIN, FAT, MUSCLE, DEEP = 9.0, -6.0, -8.0, -11.0  # dB, against gland at 0


def tissue(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Draw a breast in layers: (H, W) echo level in dB.

    It includes the losses from ribs and a badly coupled probe.
    """
    height, width = shape
    skin = height * rng.uniform(0.025, 0.05) + _curve(width, 0.006 * height, rng)
    fat = height * rng.uniform(0.16, 0.36) + _curve(width, 0.05 * height, rng)
    gland = height * rng.uniform(0.62, 0.84) + _curve(width, 0.05 * height, rng)
    muscle = gland + height * rng.uniform(0.12, 0.26) + _curve(width, 0.02 * height, rng)
    echo = _fat(shape, rng)
    echo = _below(echo, fat, _gland(shape, gland, rng), 3)
    echo = _below(echo, gland, _muscle(shape, gland, rng), 2)
    echo = _below(echo, muscle, np.full(shape, DEEP, np.float32), 2)
    echo += _sheet(shape, gland, rng.uniform(8, 16), rng)
    echo += _sheet(shape, muscle, rng.uniform(6, 14), rng)
    if rng.random() < 0.35:
        echo = _lobule(echo, rng)
    echo += 2.5 * smooth_noise(shape, height / 6, width / 6, rng)
    if rng.random() < 0.15:
        echo += _ribs(shape, muscle, rng)
    if rng.random() < 0.15:
        echo += _lost_contact(shape, rng)
    return _skin(echo, skin, rng)


def _curve(width: int, amplitude: float, rng: np.random.Generator) -> Map:
    """A smooth line (W,): a few waves and a slope."""
    x = np.linspace(0, 1, width, dtype=np.float32)
    waves = rng.uniform(0.3, 2.2, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    line = np.sin(2 * np.pi * np.outer(waves, x) + phases[:, None]) / (1 + waves[:, None])
    return np.asarray(amplitude * (line.sum(0) + rng.normal(0, 0.6) * (x - 0.5)), dtype=np.float32)


def _rows(shape: tuple[int, int]) -> Map:
    return np.arange(shape[0], dtype=np.float32)[:, None]


def _below(upper: Map, border: Map, lower: Map, softness: float) -> Map:
    """`upper` above the line `border` (W,), `lower` below it."""
    share = np.clip((_rows(upper.shape) - border) / softness + 0.5, 0, 1)
    return np.asarray(upper + share * (lower - upper), dtype=np.float32)


def _along(field: Map, line: Map) -> Map:
    """Shift every column of a field so that its level lines follow the line (W,)."""
    height, width = field.shape
    from_row = _rows(field.shape) - line
    above = np.floor(from_row).astype(np.int32)
    share = from_row - above
    columns = np.arange(width, dtype=np.int32)
    upper, lower = (field.take(at % height * width + columns) for at in (above, above + 1))
    return np.asarray(upper + share * (lower - upper), dtype=np.float32)


def _streaks(shape: tuple[int, int], thin: float, long: float, rng: np.random.Generator) -> Map:
    """Echogenic lamellae (H, W) in [0, 1]: where a stretched random field crosses zero."""
    field = smooth_noise(shape, thin, long, rng)
    strength = np.clip(0.5 + 0.6 * smooth_noise(shape, max(2 * thin, 5), long, rng), 0, 1.3)
    return np.asarray(np.exp(-((field / 0.28) ** 2)) * strength, dtype=np.float32)


def _fat(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Dark lobules between bright septa."""
    height, width = shape
    thin, long = rng.uniform(0.025, 0.045) * height, rng.uniform(0.06, 0.12) * width
    septa = _streaks(shape, thin, long, rng)
    level = FAT + rng.normal(0, 1.5) + 1.5 * smooth_noise(shape, height / 20, width / 12, rng)
    return np.asarray(level + rng.uniform(11, 17) * septa, dtype=np.float32)


def _lobule(echo: Map, rng: np.random.Generator) -> Map:
    """One fat lobule that is darker than its surroundings, easily mistaken for a lesion."""
    height, width = echo.shape
    y = (_rows(echo.shape) / height - rng.uniform(0.15, 0.5)) / rng.uniform(0.05, 0.09)
    x = (np.arange(width) / width - rng.uniform(0.1, 0.9)) / rng.uniform(0.1, 0.17)
    outward = np.hypot(x, y) + 0.12 * smooth_noise(echo.shape, height / 14, width / 14, rng) - 1
    share = 1 / (1 + np.exp(np.clip(outward / 0.1, -30, 30)))
    septum = 7 * np.exp(-((outward / 0.12) ** 2))
    level = FAT - rng.uniform(1, 4)
    return np.asarray(echo + 0.8 * share * (level - echo) + septum, dtype=np.float32)


def _gland(shape: tuple[int, int], line: Map, rng: np.random.Generator) -> Map:
    """Fibroglandular tissue: bright, patchy, with streaks that follow the layer."""
    height, width = shape
    fine = _streaks(shape, rng.uniform(1.3, 2.2), rng.uniform(0.04, 0.12) * width, rng)
    coarse = _streaks(shape, 0.022 * height, 0.2 * width, rng)
    patches = rng.uniform(1.5, 4.5) * smooth_noise(shape, height / 18, width / 12, rng)
    echo = patches + rng.uniform(9, 17) * fine + rng.uniform(8, 16) * coarse - 5
    return _along(echo.astype(np.float32), rng.uniform(0.3, 1.0) * (line - line.mean()))


def _muscle(shape: tuple[int, int], line: Map, rng: np.random.Generator) -> Map:
    """Dark muscle with long oblique fibres."""
    width = shape[1]
    fibres = _streaks(shape, rng.uniform(1.6, 2.4), rng.uniform(0.15, 0.25) * width, rng)
    slope = rng.uniform(-0.25, 0.25) * np.arange(width, dtype=np.float32)
    echo = MUSCLE + rng.normal(0, 1.5) + rng.uniform(12, 18) * fibres
    return _along(echo.astype(np.float32), line - line.mean() + slope)


def _sheet(shape: tuple[int, int], line: Map, strength: float, rng: np.random.Generator) -> Map:
    """A fascia: a thin bright line (W,), strong where the beam meets it at a right angle."""
    near = np.exp(-(((_rows(shape) - line) / 1.3) ** 2))
    seen = np.clip(0.6 + 0.5 * smooth_noise((1, shape[1]), 1, shape[1] / 10, rng), 0, 1)
    return np.asarray(strength * near * seen, dtype=np.float32)


def _ribs(shape: tuple[int, int], line: Map, rng: np.random.Generator) -> Map:
    """One rib: a bright cap on the chest wall and a black shadow below it."""
    height, width = shape
    x = np.arange(width, dtype=np.float32)
    offset = (x - rng.uniform(0.1, 0.9) * width) / (rng.uniform(0.09, 0.16) * width)
    cap = line - 0.05 * height + 0.06 * height * offset**2
    behind = 1 / (1 + np.exp(8 * (np.abs(offset) - 1)))
    depth = _rows(shape) - cap
    bright = 16 * np.exp(-((depth / 1.6) ** 2))
    dark = -22 * np.clip(depth / 4, 0, 1)
    return np.asarray((bright + dark) * behind, dtype=np.float32)


def _lost_contact(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """A dark band at one edge, where the probe lifts off the skin."""
    x = np.linspace(0, 1, shape[1], dtype=np.float32)
    from_side = x if rng.random() < 0.5 else 1 - x
    band = 1 / (1 + np.exp((from_side - rng.uniform(0.05, 0.15)) / 0.025))
    depth = np.linspace(0.4, 1, shape[0], dtype=np.float32)[:, None]
    return np.asarray(-rng.uniform(10, 20) * band * depth, dtype=np.float32)


def _skin(echo: Map, line: Map, rng: np.random.Generator) -> Map:
    """Skin at the top: two bright lines with a grey band between them."""
    rows = _rows(echo.shape)
    skin = SKIN + rng.normal(0, 1.5) - 5 * np.exp(-(((rows - 0.55 * line) / (0.3 * line)) ** 2))
    echo = _below(skin.astype(np.float32), line, echo, 2)
    return echo + _sheet(echo.shape, line, rng.uniform(3, 8), rng)
