"""Test-time augmentation: run the network on images and their mirrored and magnified views."""

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
    """Magnify about the centre by `factor`; the size stays the same.

    A factor below 1 shrinks the image; the margin is filled by reflection.

    Args:
        image: (B, C, S, S) float.
        factor: above 0.
    """
    grid = _grid(image, 1 / factor)
    return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def unzoom(view: Tensor, factor: float, elsewhere: Tensor) -> Tensor:
    """Map the output for a zoomed view back to the whole image.

    Args:
        view: (B, C, S, S), output for `zoom(image, factor)`.
        factor: factor of the zoom.
        elsewhere: (B, C, S, S), used where the view does not show the image.
    """
    grid = _grid(view, factor)
    back = functional.grid_sample(view, grid, padding_mode="border", align_corners=False)
    shown = (grid.abs() <= 1).all(dim=-1).unsqueeze(1)
    return torch.where(shown, back, elsewhere)


def _grid(image: Tensor, stretch: float) -> Tensor:
    """Return each pixel's sampling position, (B, S, S, 2), in coordinates of [-1, 1]."""
    theta = torch.tensor([[stretch, 0, 0], [0, stretch, 0]], device=image.device, dtype=image.dtype)
    one = functional.affine_grid(theta[None], [1, *image.shape[1:]], align_corners=False)
    return one.expand(image.shape[0], -1, -1, -1)  # by torch.export's leave: any number of images


_TOGETHER = 16
"""Maximum number of inputs for which mirrored images share a pass with the images, for speed."""


def forward_tta(
    network: "HGMNet", spec: Spec, square: Grey, *, mirror: bool, scales: Sequence[float] = ()
) -> RawPrediction:
    """Run the network over prepared images.

    Args:
        network: in evaluation mode, on its device; its memory format is changed (docs/speed.md).
        spec: spec with the normalisation.
        square: (B, S, S) uint8.
        mirror: average probabilities and class logits with the mirrored image's.
        scales: magnifications of further views, which affect only `views`.
    """
    import torch

    network.to(memory_format=torch.channels_last)  # nothing to do from the second time on
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    few = len(square) * (1 + mirror) <= _TOGETHER
    with torch.inference_mode():
        mask, coarse, logits, views = run_network(
            network, image, mirror=mirror, scales=scales, few=few
        )
        seen = views.half()
    return RawPrediction(
        mask.cpu().numpy(), coarse.cpu().numpy(), logits.cpu().numpy(), seen.cpu().numpy()
    )


def run_network(
    network: "HGMNet", image: "Tensor", *, mirror: bool, scales: Sequence[float], few: bool
) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """Run images and their views; return the fields of `RawPrediction` (`views` float32).

    Args:
        network: in evaluation mode.
        image: (B, 1, S, S), normalised.
        mirror: see `forward_tta`.
        scales: see `forward_tta`.
        few: run the mirrored images together with the images.
    """
    import torch

    # MOVED

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


def _at_once(
    network: "HGMNet", inputs: "Sequence[Tensor]"
) -> "list[tuple[Tensor, Tensor, Tensor]]":
    """Run inputs of equal size in one pass; return the outputs per input."""
    import torch

    count = len(inputs)
    told = _forward(network, torch.cat(list(inputs)))
    mask, coarse, logits = (part.reshape(count, -1, *part.shape[1:]).unbind() for part in told)
    return list(zip(mask, coarse, logits, strict=True))


def _forward(network: "HGMNet", image: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    out = network(image)
    return (
        out.mask_logits.float().sigmoid().squeeze(1),
        out.coarse_mask_logits.float().sigmoid().squeeze(1),
        out.class_logits.float(),
    )
