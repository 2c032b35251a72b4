"""Distances of outlines against a brute force over all pairs, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from hgmnet.metrics.segmentation import surface_distances


def outline(mask):
    """Pixels of which one of the eight neighbours, or the image's end, is outside."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    shifts = [
        padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    ]
    return np.argwhere(mask & ~np.logical_and.reduce(shifts))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9))
def test_both_distances_agree_with_all_pairs(seed, share):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((12, 15)) < share, rng.random((12, 15)) < 0.3
    predicted[3, 4] = truth[7, 7] = True
    pairs = cdist(outline(predicted), outline(truth))
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    found = surface_distances(predicted, truth)
    assert found.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    near = (there <= 2).sum() + (back <= 2).sum()
    assert found.nsd == pytest.approx(near / (len(there) + len(back)))


def square(top, left, side=10, shape=(40, 50)):
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_by_hand():
    same = surface_distances(square(5, 5), square(5, 5))
    assert (same.hd95, same.nsd) == (0, 1)
    aside = surface_distances(square(5, 5), square(5, 7))  # two pixels: all within the tolerance
    assert (aside.hd95, aside.nsd) == (2, 1)
    far = surface_distances(square(5, 5), square(5, 30))
    assert far.nsd == 0
    assert 24 < far.hd95 <= 25


def test_a_missed_lesion_counts_as_the_diagonal():
    missed = surface_distances(np.zeros((30, 40), dtype=bool), square(5, 5, shape=(30, 40)))
    assert (missed.hd95, missed.nsd) == (math.hypot(30, 40), 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), down=st.integers(0, 9), right=st.integers(0, 9))
def test_it_matters_neither_which_is_which_nor_where_they_lie(seed, down, right):
    rng = np.random.default_rng(seed)
    one, other = (np.pad(rng.random((8, 8)) < 0.5, ((0, 9), (0, 9))) for _ in range(2))
    one[4, 4] = other[4, 4] = True
    moved = (np.roll(mask, (down, right), (0, 1)) for mask in (one, other))
    assert (
        surface_distances(one, other) == surface_distances(other, one) == surface_distances(*moved)
    )
