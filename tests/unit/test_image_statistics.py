import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from hgmnet.data.image_statistics import measure


def speckled(seed=0, shape=(64, 80), mean=100):
    """Grey noise of one texture."""
    noise = np.random.default_rng(seed).normal(mean, mean / 5, shape)
    return np.clip(noise, 0, 255).astype(np.uint8)


def test_hand_computed_values():
    grey = np.zeros((8, 16), np.uint8)
    grey[:, 8:] = 100
    grey[:, 9::2] = 200
    facts = measure(grey)
    assert facts.brightness == pytest.approx(75)
    assert facts.contrast == pytest.approx(np.sqrt((0 + 100**2 / 4 + 200**2 / 4) - 75**2), rel=1e-5)
    assert facts.dark == 0.5
    assert facts.speckle == pytest.approx(50 / 150, rel=1e-5)  # of the right square alone
    assert (facts.width, facts.height, facts.aspect) == (16, 8, 2)


def test_sharpness_of_stripes_is_that_of_their_frequency():
    columns = np.arange(402)
    for period in (4, 8):
        wave = 127.5 + 100 * np.cos(2 * np.pi * columns / period)
        grey = np.tile(np.rint(wave), (50, 1)).astype(np.uint8)
        gain = (2 - 2 * np.cos(2 * np.pi / period)) ** 2  # the Laplacian's, on this wave
        assert measure(grey).sharpness == pytest.approx(gain, rel=0.01)


@given(st.integers(0, 255))
def test_a_constant_image_has_no_texture(value):
    facts = measure(np.full((20, 30), value, np.uint8))
    assert (facts.brightness, facts.contrast, facts.speckle, facts.sharpness) == (value, 0, 0, 0)
    assert facts.dark == (value < 16)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (7, 7)])
def test_an_image_too_small_for_texture_is_measured_all_the_same(shape):
    facts = measure(np.full(shape, 90, np.uint8))
    assert (facts.height, facts.width, facts.speckle) == (*shape, 0)


def test_a_factor_leaves_texture_and_sharpness():
    grey = speckled(mean=60) // 2 * 2
    once, doubled = measure(grey // 2), measure(grey)
    assert doubled.brightness == pytest.approx(2 * once.brightness, rel=1e-4)
    assert doubled.contrast == pytest.approx(2 * once.contrast, rel=1e-4)
    assert doubled.speckle == pytest.approx(once.speckle, rel=1e-4)
    assert doubled.sharpness == pytest.approx(once.sharpness, rel=1e-4)


def test_mirroring_changes_nothing():
    grey = speckled()
    assert measure(grey[:, ::-1]) == measure(grey)


def test_blur_takes_speckle_and_sharpness_and_leaves_brightness():
    grey = speckled()
    blurred = np.asarray(Image.fromarray(grey).filter(ImageFilter.GaussianBlur(1.5)))
    before, after = measure(grey), measure(blurred)
    assert after.sharpness < before.sharpness / 5
    assert after.speckle < before.speckle / 2
    assert after.brightness == pytest.approx(before.brightness, rel=0.02)


def test_speckle_is_that_of_the_lit_part():
    lit = speckled()
    with_margin = np.hstack([np.zeros((64, 160), np.uint8), lit])
    assert measure(with_margin).speckle == measure(lit).speckle
