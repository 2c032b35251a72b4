"""Calipers on a mask."""

import numpy as np
import pytest

from hgmnet.pages.overlays import calipers


def lengths(mask: np.ndarray) -> list[float]:
    return [float(np.hypot(*(end - start))) for start, end in calipers(mask)]


def test_a_rectangle_by_hand() -> None:
    """3 × 4 px: the diagonal is 5; the other corners lie 12 / 5 on either side of it."""
    mask = np.zeros((9, 11), bool)
    mask[2:5, 3:7] = True
    assert lengths(mask) == pytest.approx([5, 4.8])
    long, across = calipers(mask)
    assert {tuple(point) for point in long} in ({(3, 2), (7, 5)}, {(3, 5), (7, 2)})
    np.testing.assert_allclose(across.mean(axis=0), long.mean(axis=0))
    assert np.diff(long, axis=0).ravel() @ np.diff(across, axis=0).ravel() == pytest.approx(0)


def test_one_pixel_has_a_size() -> None:
    assert lengths(np.ones((1, 1), bool)) == pytest.approx([2**0.5, 2**0.5])


def test_a_disc_is_as_wide_as_long_and_small_parts_do_not_count() -> None:
    y, x = np.mgrid[:101, :101]
    mask = np.hypot(x - 50, y - 50) <= 30
    mask[0, 0] = mask[100, 100] = True
    assert lengths(mask) == pytest.approx([61, 61], abs=1.5)
