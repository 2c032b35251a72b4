"""Changes that make a planted copy differ from its original."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hgmnet.phantom.bmode import Grey, Mask

Change = Literal["rescale", "crop", "gamma", "mirror", "annotate"]


@dataclass(frozen=True)
class PhantomImage:
    """A grey image (H, W), one mask (H, W) per lesion, and their union (all false for a normal)."""

    image: Grey
    masks: tuple[Mask, ...]

    @property
    def mask(self) -> Mask:
        """Union of all lesions, (H, W) bool."""
        none = np.zeros(self.image.shape, dtype=np.bool_)
        return np.asarray(np.logical_or.reduce((none, *self.masks)))


def alter(original: PhantomImage, change: Change, rng: np.random.Generator) -> PhantomImage:
    """Change an image and its masks together, by a strength drawn from `rng`.

    `rescale` to another size, `crop` a little at each edge, `gamma` the grey levels, `mirror` left
    to right, `annotate` with caliper crosses and text.
    """
    return CHANGES[change](original, rng)


def _rescale(original: PhantomImage, rng: np.random.Generator) -> PhantomImage:
    height, width = original.image.shape
    scale = rng.uniform(0.75, 0.92) if rng.random() < 0.5 else rng.uniform(1.1, 1.35)
    size = (round(width * scale), round(height * scale))
    image = Image.fromarray(original.image).resize(size, Image.Resampling.BICUBIC)
    shares = (
        Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        for mask in original.masks
    )
    return PhantomImage(np.asarray(image), tuple(np.asarray(share) >= 0.5 for share in shares))


def _crop(original: PhantomImage, rng: np.random.Generator) -> PhantomImage:
    height, width = original.image.shape
    top, bottom = (int(height * rng.uniform(0.01, 0.05)) for _ in range(2))
    left, right = (int(width * rng.uniform(0.01, 0.05)) for _ in range(2))
    window = np.s_[top : height - bottom, left : width - right]
    return PhantomImage(original.image[window], tuple(mask[window] for mask in original.masks))


def _gamma(original: PhantomImage, rng: np.random.Generator) -> PhantomImage:
    gamma = rng.uniform(0.65, 0.85) if rng.random() < 0.5 else rng.uniform(1.2, 1.5)
    image = np.rint(255 * (original.image / 255) ** gamma).astype(np.uint8)
    return PhantomImage(image, original.masks)


def _mirror(original: PhantomImage, _: np.random.Generator) -> PhantomImage:
    return PhantomImage(original.image[:, ::-1], tuple(mask[:, ::-1] for mask in original.masks))


def _annotate(original: PhantomImage, rng: np.random.Generator) -> PhantomImage:
    image = Image.fromarray(original.image)
    draw = ImageDraw.Draw(image)
    for x, y in _caliper_ends(original, rng):
        draw.line([(x - 3, y), (x + 3, y)], fill=255)
        draw.line([(x, y - 3), (x, y + 3)], fill=255)
    side, hour = rng.choice(["RT", "LT"]), rng.integers(1, 13)
    corner = (0.05 * image.width, 0.85 * image.height)
    draw.text(corner, f"{side} {hour}", fill=235, font=ImageFont.load_default(size=11))
    return PhantomImage(np.asarray(image), original.masks)


def _caliper_ends(original: PhantomImage, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Ends of calipers across the lesions' bounding box, (x, y) each; random for a normal."""
    if not original.masks:
        height, width = original.image.shape
        y, left = int(height * rng.uniform(0.2, 0.8)), int(width * rng.uniform(0.1, 0.5))
        return [(left, y), (left + width // 3, y)]
    rows, columns = np.nonzero(original.mask)
    x, y = int(columns.mean()), int(rows.mean())
    ends = [(columns.min(), y), (columns.max(), y), (x, rows.min()), (x, rows.max())]
    return [(int(x), int(y)) for x, y in ends]


CHANGES: dict[Change, Callable[[PhantomImage, np.random.Generator], PhantomImage]] = {
    "rescale": _rescale,
    "crop": _crop,
    "gamma": _gamma,
    "mirror": _mirror,
    "annotate": _annotate,
}
