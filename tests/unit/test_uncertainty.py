"""How unsure: entropy, disagreement of views, ranks among val, and who is referred."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hgmnet.calibration.operating_point import aurc, refer_bound
from hgmnet.inference.postprocess import class_entropy, disagreement, levels, rank, uncertainty
from hgmnet.models.spec import Uncertainty

values = arrays.arrays(float, st.integers(1, 60), elements=st.integers(0, 20).map(lambda n: n / 20))


def test_entropy_runs_from_sure_to_even():
    probs = np.array([[1.0, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]])
    assert class_entropy(probs) == pytest.approx([0, 1, np.log(2) / np.log(3)])


def test_disagreement_by_hand():
    views = np.zeros((3, 2, 2, 2), np.float16)
    views[0, 0, 0] = 1  # two pixels in one view, none in the other
    views[1, :, 0, 0] = 1  # the same pixel in both
    told = views.mean(axis=1, dtype=np.float32)
    # at 0.5 the first image's mean has the two pixels: Dice 1 and 0
    assert disagreement(views, told, 0.5) == pytest.approx([0.5, 0, 0])
    # at 0.6 its mean is empty: Dice 0 with the first view, 1 with the empty second
    assert disagreement(views, told, 0.6) == pytest.approx([0.5, 0, 0])


@given(arrays.arrays(np.float16, (3, 2, 4, 4), elements=st.floats(0, 1, width=16)))
def test_disagreement_is_a_share_and_views_that_are_alike_agree(views):
    told = views.astype(np.float32).mean(axis=1)
    found = disagreement(views, told, 0.5)
    assert ((found >= 0) & (found <= 1)).all()
    same = np.repeat(views[:, :1], 2, axis=1)
    assert disagreement(same, views[:, 0].astype(np.float32), 0.5) == pytest.approx([0, 0, 0])


def test_a_rank_is_the_share_of_val_that_has_less():
    known = levels(np.arange(101) / 100)
    assert len(known) == 21
    given_ = np.array([-1.0, 0, 0.07, 0.5, 1, 2])
    assert rank(given_, known) == pytest.approx([0, 0, 0.07, 0.5, 1, 1])
    tied = levels(np.repeat([0.0, 0.4], [50, 51]))
    assert rank(np.array([0, 0.4]), tied) == pytest.approx([0, 0.5], abs=0.03)
    assert rank(given_, ()).tolist() == [0] * 6


@given(values)
def test_ranks_rise_with_values(seen):
    found = rank(np.linspace(-0.1, 1.1, 50), levels(seen))
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_uncertainty_is_the_larger_rank_of_what_is_known():
    grid = levels(np.arange(101) / 100)
    both = Uncertainty(class_entropy=grid, mask_disagreement=grid)
    one, two = np.array([0.2, 0.9]), np.array([0.6, 0.1])
    assert uncertainty(one, two, both) == pytest.approx([0.6, 0.9])
    assert uncertainty(one, two, Uncertainty(class_entropy=grid)) == pytest.approx(one)
    assert uncertainty(one, two, Uncertainty()).tolist() == [0, 0]


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_the_bound_refers_the_stated_share_of_val():
    unsure = np.random.default_rng(0).permutation(100) / 100
    wrong = (unsure > 0.6).astype(float)
    bound = refer_bound(unsure, wrong, alone(100), 0.1)
    assert bound == pytest.approx(0.895)
    assert (unsure > bound).mean() == pytest.approx(0.1)
    assert refer_bound(unsure, wrong, alone(100), 0.0) is None


def test_nobody_is_referred_where_uncertainty_tells_nothing():
    generator = np.random.default_rng(1)
    unsure, wrong = generator.random(100), (generator.random(100) < 0.3).astype(float)
    assert refer_bound(unsure, wrong, alone(100), 0.1) is None
    assert refer_bound(unsure, 1 - unsure, alone(100), 0.1) is None
    assert refer_bound(unsure, np.zeros(100), alone(100), 0.1) is None


def test_images_of_one_group_prove_nothing():
    unsure = np.repeat([0.1, 0.9], 50)
    wrong = np.repeat([0.0, 1.0], 50)
    assert refer_bound(unsure + np.arange(100) / 1e4, wrong, alone(100), 0.1) is not None
    two = ["a"] * 50 + ["b"] * 50
    assert refer_bound(unsure + np.arange(100) / 1e4, wrong, two, 0.1) is None


def test_a_larger_share_never_raises_the_bound_and_never_refers_more_than_that():
    unsure = np.random.default_rng(0).integers(0, 12, 60) / 12  # many are as sure
    bounds = [refer_bound(unsure, unsure, alone(60), share) for share in (0.05, 0.1, 0.2, 0.4)]
    assert bounds == sorted(bounds, reverse=True)
    for bound, share in zip(bounds, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert (unsure > bound).mean() <= share


def test_risk_area_by_hand():
    unsure, wrong = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1.0])
    assert aurc(unsure, wrong) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert aurc(1 - unsure, wrong) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4) / 4)
    assert aurc(np.zeros(4), wrong) == pytest.approx(0.5)  # all as sure: the mean
