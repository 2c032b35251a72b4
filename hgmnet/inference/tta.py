"""The network run on images and their views: mirrored and magnified, brought back and averaged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.models.spec import Spec, normalise

if TYPE_CHECKING:
    from hgmnet.models.hgmnet import HGMNet


def zoom(image: Tensor, factor: float) -> Tensor:
    """Magnify (B, C, S, S) about the centre by `factor` > 0, on a square of the same side.

    Below 1 the image shrinks, and what lies beyond its edge is its reflection.
    """
    grid = _grid(image, 1 / factor)
    return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def unzoom(view: Tensor, factor: float, elsewhere: Tensor) -> Tensor:
    """Bring the output for `zoom(image, factor)`, (B, C, S, S), back to the whole image.

    `elsewhere`, (B, C, S, S), stands where the view showed nothing of the image.
    """
    grid = _grid(view, factor)
    back = functional.grid_sample(view, grid, padding_mode="border", align_corners=False)
    shown = (grid.abs() <= 1).all(dim=-1).unsqueeze(1)
    return torch.where(shown, back, elsewhere)


def _grid(image: Tensor, stretch: float) -> Tensor:
    """Where each pixel looks, (B, S, S, 2), in coordinates that run from -1 to 1 over the image."""
    theta = torch.tensor([[stretch, 0, 0], [0, stretch, 0]], device=image.device, dtype=image.dtype)
    one = functional.affine_grid(theta[None], [1, *image.shape[1:]], align_corners=False)
    return one.expand(image.shape[0], -1, -1, -1)  # by torch.export's leave: any number of images


_TOGETHER = 16  # squares that pass the network at once, which is faster for few images


def forward_tta(
    network: "HGMNet", spec: Spec, square: Grey, *, mirror: bool, scales: Sequence[float] = ()
) -> RawPrediction:
    """Run the network over prepared images.

    Args:
        network: in evaluation mode, on its device; laid out again for speed (docs/speed.md).
        spec: how it sees an image.
        square: (B, S, S) uint8.
        mirror: average probabilities and class logits with the mirrored image's.
        scales: magnifications of further views, which change nothing but `views`.
    """
    network.to(memory_format=torch.channels_last)  # nothing to do from the second time on
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    few = len(square) * (1 + mirror) <= _TOGETHER
    with torch.inference_mode():
        *parts, views = run_network(network, image, mirror=mirror, scales=scales, few=few)
        return RawPrediction(*(part.cpu().numpy() for part in (*parts, views.half())))


def run_network(
    network: "HGMNet", image: Tensor, *, mirror: bool, scales: Sequence[float], few: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs for images and their views, as the fields of `RawPrediction` (`views` float32).

    `image`: (B, 1, S, S), normalised. `few`: the mirrored images pass the network together with
    the images. Otherwise as `forward_tta`.
    """
    inputs = (image, image.flip(-1)) if mirror else (image,)
    passes = _at_once(network, inputs) if few else [_forward(network, one) for one in inputs]
    mask, coarse, logits = passes[0]
    views = [mask]
    if mirror:
        mirrored = passes[1]
        views.append(mirrored[0].flip(-1))
        mask = (mask + views[1]) / 2
        coarse = (coarse + mirrored[1].flip(-1)) / 2
        logits = (logits + mirrored[2]) / 2
    for scale in scales:
        near = _forward(network, zoom(image, scale))[0].unsqueeze(1)
        views.append(unzoom(near, scale, elsewhere=mask.unsqueeze(1)).squeeze(1))
    return mask, coarse, logits, torch.stack(views, dim=1)


def _at_once(network: "HGMNet", inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The network's output for each input of the same size, in one pass."""
    count = len(inputs)
    told = _forward(network, torch.cat(list(inputs)))
    mask, coarse, logits = (part.reshape(count, -1, *part.shape[1:]).unbind() for part in told)
    return list(zip(mask, coarse, logits, strict=True))


def _forward(network: "HGMNet", image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    out = network(image)
    return (
        out.mask_logits.float().sigmoid().squeeze(1),
        out.coarse_mask_logits.float().sigmoid().squeeze(1),
        out.class_logits.float(),
    )
