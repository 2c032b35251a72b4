"""Random changes to a batch on its device: drawn first (all the randomness), then applied.

All geometry (mirror, rotation, scale, shift, elastic) is one resampling, so images blur only once.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.config.training import Augment

_KNOTS = 4  # control points a side of the elastic field


@dataclass(frozen=True)
class Draw:
    """Random parameters for a batch of B, which reproduce the changes exactly.

    `theta`: (B, 2, 3) affine maps on [-1, 1] coordinates. `elastic`: (B, 2, 4, 4) shifts of the
    control points, in the same coordinates. `gamma`, `contrast`, `noise`: (B, 1, 1, 1).
    `noise_seed`: of the speckle-like noise field, which is drawn for `whole` images; this batch
    uses its rows at `share`.
    """

    theta: Tensor
    elastic: Tensor
    gamma: Tensor
    contrast: Tensor
    noise: Tensor
    noise_seed: int
    whole: int
    share: slice

    def part(self, share: slice) -> "Draw":
        """Return the parameters of some images, by position; their changes stay the same."""
        return replace(
            self,
            theta=self.theta[share],
            elastic=self.elastic[share],
            gamma=self.gamma[share],
            contrast=self.contrast[share],
            noise=self.noise[share],
            share=share,
        )

    def to(self, device: torch.device) -> "Draw":
        """Copy the parameters to a device in one asynchronous transfer."""
        if device.type == "cpu":
            return self
        parts = [self.theta, self.elastic, self.gamma, self.contrast, self.noise]
        packed = torch.cat([part.flatten() for part in parts])
        packed = packed.pin_memory() if device.type == "cuda" else packed
        packed = packed.to(device, non_blocking=True)
        moved = torch.split(packed, [part.numel() for part in parts])
        theta, elastic, *tone = (new.view_as(old) for new, old in zip(moved, parts, strict=True))
        gamma, contrast, noise = tone
        return replace(
            self, theta=theta, elastic=elastic, gamma=gamma, contrast=contrast, noise=noise
        )


def draw(count: int, ranges: Augment, generator: torch.Generator) -> Draw:
    """Draw changes for `count` images from a CPU generator; uniform within `ranges`."""

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
    return Draw(
        theta=theta,
        elastic=uniform(count, 2, _KNOTS, _KNOTS) * 2 * ranges.elastic,
        gamma=torch.exp(uniform(count, 1, 1, 1) * math.log1p(ranges.gamma)),
        contrast=1 + uniform(count, 1, 1, 1) * ranges.contrast,
        noise=uniform(count, 1, 1, 1).abs() * ranges.noise,
        noise_seed=int(torch.randint(2**31, (1,), generator=generator)),
        whole=count,
        share=slice(None),
    )


def apply(image: Tensor, mask: Tensor, drawn: Draw) -> tuple[Tensor, Tensor]:
    """Apply the changes; image and mask move together.

    Args:
        image: (B, 1, H, W) float in [0, 1].
        mask: (B, 1, H, W) float in {0, 1}.
        drawn: parameters for the same B.

    Returns:
        Image in [0, 1] and mask in {0, 1}, of the same shapes; pixels from outside are 0.
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
    """Apply gamma, contrast about the mean, and multiplicative noise like speckle."""
    image = image.clamp(min=1e-4) ** drawn.gamma
    mean = image.mean(dim=(2, 3), keepdim=True)
    image = mean + (image - mean) * drawn.contrast
    generator = torch.Generator(image.device).manual_seed(drawn.noise_seed)
    whole = (drawn.whole, *image.shape[1:])
    field = torch.randn(whole, generator=generator, device=image.device)[drawn.share]
    return (image * (1 + 4 * drawn.noise * field)).clamp(0, 1)
