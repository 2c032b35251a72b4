import numpy as np
import pytest

from hgmnet.config.data import Phantom
from hgmnet.phantom import generate
from hgmnet.splitting import features

PARAMS = Phantom(seed=2, benign=1, malignant=0, normal=0, copies=0, width=200, height=160)


@pytest.fixture(scope="module")
def grey():
    return generate.render(generate.plan(PARAMS)[0], PARAMS).image


def test_features_are_of_the_thumbnail(grey):
    known = features.describe(grey)
    height, width = known.thumbnail.shape
    assert max(known.thumbnail.shape) == features.SIDE
    assert known.scale == features.SIDE / max(grey.shape)
    assert 100 < len(known.points) == len(known.descriptors) <= features.POINTS
    assert (known.points >= 0).all()
    assert (known.points < (width, height)).all()
    lengths = np.linalg.norm(known.descriptors.astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_the_same_pixels_give_the_same_features(grey):
    one, other = features.describe(grey), features.describe(grey.copy())
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.descriptors, other.descriptors)


def test_mirrored_is_what_the_mirrored_image_gives(grey):
    turned = features.mirrored(features.describe(grey))
    again = features.describe(np.ascontiguousarray(grey[:, ::-1]))
    np.testing.assert_array_equal(turned.hashed, again.hashed)
    likeness = turned.descriptors.astype(np.float32) @ again.descriptors.astype(np.float32).T
    apart = np.linalg.norm(turned.points - again.points[likeness.argmax(axis=1)], axis=1)
    assert np.median(likeness.max(axis=1)) > 0.99
    assert np.mean(apart < 1) > 0.9


def test_a_hash_counts_where_it_gets_brighter():
    slope = np.tile(np.arange(90, dtype=np.uint8) * 2, (80, 1))
    assert features.describe(slope).hashed.tolist() == [255] * 8
    assert features.mirrored(features.describe(slope)).hashed.tolist() == [0] * 8


def test_an_image_of_nothing_has_no_points():
    known = features.describe(np.zeros((30, 40), np.uint8))
    assert known.points.shape == (0, 2)
    assert known.descriptors.shape == (0, 128)
