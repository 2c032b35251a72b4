"""Test-time augmentation: mirrored and magnified views, mapped back and averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.models.ensemble import Network, members
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import Spec, normalise


def zoom(image: Tensor, factor: float) -> Tensor:
    """Magnify (B, C, S, S) about the centre by `factor` > 0; below 1 it is padded by reflection."""
    grid = _grid(image, 1 / factor)
    return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def unzoom(view: Tensor, factor: float, elsewhere: Tensor) -> Tensor:
    """Map the output for `zoom(image, factor)`, (B, C, S, S), back to the whole image.

    `elsewhere`: (B, C, S, S), the values where the view did not cover the image.
    """
    grid = _grid(view, factor)
    back = functional.grid_sample(view, grid, padding_mode="border", align_corners=False)
    shown = (grid.abs() <= 1).all(dim=-1).unsqueeze(1)
    return torch.where(shown, back, elsewhere)


def _grid(image: Tensor, stretch: float) -> Tensor:
    """Sampling position of each pixel, (B, S, S, 2), in [-1, 1] over the image."""
    theta = torch.tensor([[stretch, 0, 0], [0, stretch, 0]], device=image.device, dtype=image.dtype)
    one = functional.affine_grid(theta[None], [1, *image.shape[1:]], align_corners=False)
    return one.expand(image.shape[0], -1, -1, -1)  # keeps the batch size dynamic in torch.export


_TOGETHER = 16  # images per pass: faster for few images


def forward_tta(
    network: Network, spec: Spec, square: Grey, *, mirror: bool, scales: Sequence[float] = ()
) -> RawPrediction:
    """Run the network, in evaluation mode, on its device, over prepared images (B, S, S) uint8.

    It is converted to channels-last (docs/speed.md). `mirror`: average probabilities and class
    logits with the mirrored image's. `scales`: magnifications of further views, for `views` only.
    """
    network.to(memory_format=torch.channels_last)  # no cost from the second call on
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    few = len(square) * (1 + mirror) <= _TOGETHER
    with torch.inference_mode():
        *parts, views = run_network(network, image, mirror=mirror, scales=scales, few=few)
        return RawPrediction(*(part.cpu().numpy() for part in (*parts, views.half())))


def run_network(
    network: Network, image: Tensor, *, mirror: bool, scales: Sequence[float], few: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the fields of `RawPrediction` for images and their views (`views` float32).

    `image`: (B, 1, S, S), normalised. `few`: run images and mirrored images in one pass. Each
    member of an ensemble has views of its own. Otherwise as `forward_tta`.
    """
    inputs = (image, image.flip(-1)) if mirror else (image,)
    outputs = []
    for member in members(network):
        straight, *mirrored = (
            _at_once(member, inputs) if few else [_forward(member, one) for one in inputs]
        )
        outputs += [straight, *((m.flip(-1), c.flip(-1), known) for m, c, known in mirrored)]
    views = [mask for mask, _, _ in outputs]
    mask, coarse, logits = (_mean(kind) for kind in zip(*outputs, strict=True))
    for scale in scales:
        near = _forward(network, zoom(image, scale))[0].unsqueeze(1)
        views.append(unzoom(near, scale, elsewhere=mask.unsqueeze(1)).squeeze(1))
    return mask, coarse, logits, torch.stack(views, dim=1)


def _mean(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).mean(dim=0) if len(parts) > 1 else parts[0]


def _at_once(network: HGMNet, inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return the network's output for inputs of equal size, from one pass."""
    count = len(inputs)
    outputs = _forward(network, torch.cat(list(inputs)))
    mask, coarse, logits = (part.reshape(count, -1, *part.shape[1:]).unbind() for part in outputs)
    return list(zip(mask, coarse, logits, strict=True))


def _forward(network: Network, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    out = network(image)
    return (
        out.mask_logits.float().sigmoid().squeeze(1),
        out.coarse_mask_logits.float().sigmoid().squeeze(1),
        out.class_logits.float(),
    )
