"""An image seen nearer or farther, and what was said of it brought back to its place."""

import torch
from torch import Tensor
from torch.nn import functional


def zoom(image: Tensor, factor: float) -> Tensor:
    """Magnify about the centre by `factor`, on a square of the same side.

    Below 1 the image shrinks, and what lies beyond its edge is its reflection.

    Args:
        image: (B, C, S, S).
        factor: above 0.
    """
    grid = _grid(image, 1 / factor)
    return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def unzoom(view: Tensor, factor: float, elsewhere: Tensor) -> Tensor:
    """Bring what was said of a zoomed view back to the whole image.

    Args:
        view: (B, C, S, S), said of `zoom(image, factor)`.
        factor: that of the zoom.
        elsewhere: (B, C, S, S); stands where the view showed nothing of the image.
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
