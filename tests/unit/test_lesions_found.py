"""Lesions found, missed and made up, against sets of pixels matched by hand and by brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from hgmnet.metrics.segmentation import OVERLAP, Found, find_lesions


def blobs(*boxes, shape=(20, 40)):
    mask = np.zeros(shape, dtype=bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


ONE, TWO = (2, 2, 8, 8), (2, 20, 8, 26)


@pytest.mark.parametrize(
    ("predicted", "truth", "found"),
    [
        ((), (), Found(0, 0, 0)),
        ((), (ONE, TWO), Found(2, 0, 0)),
        ((ONE,), (), Found(0, 0, 1)),
        ((ONE, TWO), (ONE, TWO), Found(2, 2, 0)),
        ((TWO,), (ONE,), Found(1, 0, 1)),
        (((2, 2, 3, 5),), (ONE,), Found(1, 0, 1)),  # IoU 3 / 36
        (((2, 2, 3, 6),), (ONE,), Found(1, 1, 0)),  # IoU 4 / 36
        (((2, 2, 8, 26),), (ONE, TWO), Found(2, 1, 0)),  # one part finds one lesion
        (((2, 2, 8, 5), (2, 6, 8, 8)), (ONE,), Found(1, 1, 1)),  # a lesion is found once
    ],
)
def test_by_hand(predicted, truth, found):
    assert find_lesions(blobs(*predicted), blobs(*truth)) == found


def test_parts_that_touch_at_a_corner_are_one():
    assert find_lesions(blobs(), blobs((2, 2, 4, 4), (4, 4, 6, 6))).lesions == 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_counts_add_up_and_no_matching_finds_far_more(seed):
    """Greedy matching finds at least half of what the best matching of sets of pixels does."""
    rng = np.random.default_rng(seed)
    predicted, truth = (np.kron(rng.random((4, 4)) < 0.3, np.ones((3, 3))) > 0 for _ in range(2))
    parts, lesions = (_sets(mask) for mask in (predicted, truth))
    found = find_lesions(predicted, truth)
    assert found.lesions == len(lesions)
    assert found.found + found.false == len(parts)
    few, many = sorted((parts, lesions), key=len)
    best = max(
        sum(len(a & b) / len(a | b) >= OVERLAP for a, b in zip(few, order, strict=False))
        for order in permutations(many, len(few))
    )
    assert best / 2 <= found.found <= best


def _sets(mask):
    numbers, count = label(mask, np.ones((3, 3)))
    return [set(zip(*np.nonzero(numbers == i), strict=True)) for i in range(1, count + 1)]
