"""Random augmentation of a batch on its device: drawn first (all the randomness), then applied.

One resampling does all geometry (mirror, rotation, scale, aspect, shift, elastic), so nothing blurs
twice.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.config.training import Augment

_KNOTS = 4  # control points along an edge of the elastic field


@dataclass(frozen=True)
class Draw:
    """Augmentation parameters of a batch of B images, enough to repeat it exactly.

    `theta`: (B, 2, 3) affine maps on [-1, 1] coordinates. `elastic`: (B, 2, 4, 4) shifts of the
    control points, in the same coordinates. `gamma`, `contrast`, `noise`, `sharpness`:
    (B, 1, 1, 1). `noise_seed`: of the speckle-like noise field, drawn for `whole` images; `share`
    selects the images of this record.
    """

    theta: Tensor
    elastic: Tensor
    gamma: Tensor
    contrast: Tensor
    noise: Tensor
    sharpness: Tensor
    noise_seed: int
    whole: int
    share: slice

    def part(self, share: slice) -> "Draw":
        """Return the parameters of some images of the batch, by position."""
        parts: dict[str, Any] = {name: part[share] for name, part in self._tensors().items()}
        return replace(self, share=share, **parts)

    def to(self, device: torch.device) -> "Draw":
        """Copy the parameters to a device, in one copy that does not block."""
        if device.type == "cpu":
            return self
        parts = self._tensors()
        packed = torch.cat([part.flatten() for part in parts.values()])
        packed = packed.pin_memory() if device.type == "cuda" else packed
        packed = packed.to(device, non_blocking=True)
        moved = torch.split(packed, [part.numel() for part in parts.values()])
        pairs = zip(parts.items(), moved, strict=True)
        there: dict[str, Any] = {name: new.view_as(old) for (name, old), new in pairs}
        return replace(self, **there)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("theta", "elastic", "gamma", "contrast", "noise", "sharpness")
        return {name: getattr(self, name) for name in names}


def draw(count: int, ranges: Augment, generator: torch.Generator) -> Draw:
    """Draw parameters for `count` images from a CPU generator; uniform within `ranges`."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    angle = uniform(count) * math.radians(ranges.rotate_degrees)
    scale = torch.exp(uniform(count) * math.log1p(ranges.scale))
    flip = torch.where((uniform(count) < 0) & ranges.mirror, -1.0, 1.0)
    shift = uniform(count, 2) * 2 * ranges.shift
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.stack(
        [
            torch.stack([cos * flip, -sin, shift[:, 0]], 1),
            torch.stack([sin * flip, cos, shift[:, 1]], 1),
        ],
        dim=1,
    )
    elastic = uniform(count, 2, _KNOTS, _KNOTS) * 2 * ranges.elastic
    gamma = torch.exp(uniform(count, 1, 1, 1) * math.log1p(ranges.gamma))
    contrast = 1 + uniform(count, 1, 1, 1) * ranges.contrast
    noise = uniform(count, 1, 1, 1).abs() * ranges.noise
    noise_seed = int(torch.randint(2**31, (1,), generator=generator))
    sharpness = 1 + uniform(count, 1, 1, 1) * ranges.sharpness
    wider = torch.exp(uniform(count) * math.log1p(ranges.aspect) / 2)
    theta = theta * torch.stack([1 / wider, wider], dim=1).unsqueeze(2)
    return Draw(
        theta, elastic, gamma, contrast, noise, sharpness, noise_seed,
        whole=count, share=slice(None),
    )  # fmt: skip


def apply(image: Tensor, mask: Tensor, drawn: Draw) -> tuple[Tensor, Tensor]:
    """Apply the parameters to B images and their masks together.

    `image`: (B, 1, H, W) float in [0, 1]. `mask`: the same shape, in {0, 1}. So are the results;
    pixels from outside the image are 0.
    """
    drawn = drawn.to(image.device)
    size = list(image.shape)
    grid = functional.affine_grid(drawn.theta, size, align_corners=False)
    bend = functional.interpolate(drawn.elastic, size=size[-2:], mode="bicubic", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 1)
    both = functional.grid_sample(torch.cat([image, mask], 1), grid, align_corners=False)
    image, mask = both[:, :1].clamp(0, 1), (both[:, 1:] >= 0.5).float()
    return _tone(image, drawn), mask


def _tone(image: Tensor, drawn: Draw) -> Tensor:
    """Apply sharpness, gamma, contrast about the mean, and noise proportional to the signal."""
    smooth = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    image = torch.lerp(smooth, image, drawn.sharpness)
    image = image.clamp(min=1e-4) ** drawn.gamma
    mean = image.mean(dim=(2, 3), keepdim=True)
    image = mean + (image - mean) * drawn.contrast
    generator = torch.Generator(image.device).manual_seed(drawn.noise_seed)
    whole = (drawn.whole, *image.shape[1:])
    field = torch.randn(whole, generator=generator, device=image.device)[drawn.share]
    return (image * (1 + 4 * drawn.noise * field)).clamp(0, 1)
