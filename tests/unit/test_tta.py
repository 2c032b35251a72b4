"""Zooming and back."""

import pytest
import torch

from hgmnet.inference.tta import unzoom, zoom


def ramp(side: int = 32) -> torch.Tensor:
    """Smooth, so that resampling loses next to nothing: a hill off the centre."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return torch.exp(-4 * ((x - 0.2) ** 2 + (y + 0.1) ** 2))[None, None]


def test_zoom_by_one_is_the_image():
    assert torch.allclose(zoom(ramp(), 1.0), ramp(), atol=1e-6)
    assert torch.allclose(unzoom(ramp(), 1.0, torch.zeros(1, 1, 32, 32)), ramp(), atol=1e-6)


def test_zoom_magnifies_about_the_centre():
    image = torch.zeros(1, 1, 32, 32)
    image[..., 12:20, 12:20] = 1
    assert zoom(image, 2.0).sum() == pytest.approx(4 * 64, rel=0.1)
    assert zoom(image, 0.5)[..., 14:18, 14:18].min() == 1
    assert torch.allclose(zoom(ramp(), 1.3).flip(-1), zoom(ramp().flip(-1), 1.3), atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_there_and_back_is_where_it_was(factor):
    elsewhere = torch.full((1, 1, 32, 32), 0.5)
    back = unzoom(zoom(ramp(), factor), factor, elsewhere)
    edge = 16 - int(16 / max(factor, 1)) + 1
    inner = (..., slice(edge, 32 - edge), slice(edge, 32 - edge))
    assert (back[inner] - ramp()[inner]).abs().max() < 0.03
    if factor > 1:
        assert (back[..., 0, :] == 0.5).all()  # beyond what the view showed


def test_beyond_the_edge_lies_a_reflection_and_nothing_dark():
    assert zoom(torch.ones(1, 1, 32, 32), 0.7).min() == pytest.approx(1)
