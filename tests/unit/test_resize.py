import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hgmnet.config.data import Prepare
from hgmnet.data.resize import content_size, fit_mask, resize_to_input, resize_to_original

STRETCH = Prepare(side=64, fit="stretch")
LETTERBOX = Prepare(side=64, fit="letterbox")


def test_letterbox_keeps_the_aspect_ratio_and_pads_with_zero():
    square = resize_to_input(np.full((50, 100), 200, np.uint8), LETTERBOX)
    assert content_size(50, 100, LETTERBOX) == (32, 64)
    assert (square[16:48] == 200).all()
    assert not square[:16].any()
    assert not square[48:].any()


def test_stretch_fills_the_square():
    assert (resize_to_input(np.full((50, 100), 200, np.uint8), STRETCH) == 200).all()


def test_a_mask_cell_is_lesion_from_half_covered_on():
    mask = np.zeros((128, 128), bool)
    mask[:, :65] = True  # the 33rd cell, columns 64 and 65, is half covered
    assert fit_mask(mask, STRETCH).sum(axis=1).tolist() == [33] * 64


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(70, 300),
    width=st.integers(70, 300),
    fit=st.sampled_from(["letterbox", "stretch"]),
)
def test_there_and_back_keeps_a_lesion_where_it_was(height, width, fit):
    prepare = Prepare(side=64, fit=fit)
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width * 3 // 4] = True
    back = (
        resize_to_original(fit_mask(mask, prepare).astype(np.float32), height, width, prepare)
        >= 0.5
    )
    assert back.shape == mask.shape
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.9


@pytest.mark.parametrize("prepare", [STRETCH, LETTERBOX])
def test_a_line_of_one_pixel_still_fits(prepare):
    assert resize_to_input(np.zeros((1, 500), np.uint8), prepare).shape == (64, 64)
