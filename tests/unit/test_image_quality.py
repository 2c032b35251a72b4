"""Each fact against a value that was counted by hand."""

import numpy as np
import pytest

from hgmnet.data import image_quality


@pytest.mark.parametrize(
    ("mode", "bits"), [("1", 1), ("L", 8), ("RGBA", 8), ("P", 8), ("I;16B", 16), ("F", 32)]
)
def test_bits_of_a_mode(mode, bits):
    assert image_quality.bit_depth(mode) == bits


def test_dark_and_saturated():
    grey = np.array([[0, 10, 11, 254, 255]], np.uint8)
    assert image_quality.dark_share(grey) == 0.4
    assert image_quality.saturated_share(grey) == 0.2


def test_only_what_is_clearly_no_grey_is_colour():
    rgb = np.array([[[9, 9, 9], [90, 93, 88], [90, 90, 99], [250, 0, 0]]], np.uint8)
    assert image_quality.colour_share(rgb) == 0.5


def test_parts_hang_together_over_corners():
    mask = np.zeros((5, 7), np.bool_)
    mask[0, 0] = mask[1, 1] = mask[2, 2] = True
    mask[4, 5:] = True
    assert image_quality.part_areas(mask) == (2, 3)
    assert image_quality.part_areas(np.zeros((5, 7), np.bool_)) == ()


def test_the_border_s_share():
    mask = np.zeros((5, 7), np.bool_)
    mask[0] = True
    mask[2, 2] = True
    assert image_quality.border_share(mask) == 7 / 20
    assert image_quality.border_share(~mask[1:]) == 1
    assert image_quality.border_share(np.ones((1, 3), np.bool_)) == 1
