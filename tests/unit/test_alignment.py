import cv2
import numpy as np
import pytest

from hgmnet.config.data import Phantom
from hgmnet.phantom import generate
from hgmnet.splitting import alignment, features

PARAMS = Phantom(seed=3, benign=2, malignant=0, normal=0, copies=0, width=320, height=240)


@pytest.fixture(scope="module")
def greys():
    return [generate.render(case, PARAMS).image for case in generate.plan(PARAMS)]


def test_a_known_similarity_is_found_again(greys):
    grey = greys[0]
    height, width = grey.shape
    known = cv2.getRotationMatrix2D((width / 2, height / 2), 5, 0.9)
    known[:, 2] += 12, -3
    first, second = map(features.describe, (grey, cv2.warpAffine(grey, known, (width, height))))
    found = alignment.align(first, second)
    scaled = known * [[1, 1, first.scale]]
    corners = np.array([[0, 0, 1], [first.thumbnail.shape[1], first.thumbnail.shape[0], 1]])
    np.testing.assert_allclose(corners @ found.matrix.T, corners @ scaled.T, atol=1.5)
    assert found.points > 50
    assert found.agreement > 0.9
    assert found.describe(first, second).startswith("scale 0.90, rotation -5°, shift 1")


def test_aligning_twice_gives_the_same(greys):
    grey = greys[0]
    first, second = features.describe(grey), features.describe(grey[10:, :-20])
    one, other = (alignment.align(first, second) for _ in range(2))
    assert one.points == other.points
    np.testing.assert_array_equal(one.matrix, other.matrix)


def test_gain_and_gamma_leave_the_agreement(greys):
    grey = greys[0]
    other = np.rint(200 * (grey / 255) ** 0.7).astype(np.uint8)
    assert alignment.align(*map(features.describe, (grey, other))).agreement > 0.97


def test_different_images_do_not_agree(greys):
    found = alignment.align(*map(features.describe, greys))
    assert found is None or found.agreement < 0.3


def test_a_large_turn_is_no_likeness(greys):
    upside_down = np.ascontiguousarray(greys[0][::-1, ::-1])
    assert alignment.align(*map(features.describe, (greys[0], upside_down))) is None
