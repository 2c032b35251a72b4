"""The mask's curve on val: by hand, and the laws of the choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgmnet.calibration.mask_threshold import (
    MaskPoint,
    choose,
    mask_curve,
    minimum_area,
    standard_error,
)


def curve(prob, truth, *, price=0.25, shares=None, taken=None):
    count = len(prob)
    return mask_curve(
        np.asarray(prob, np.float32),
        np.asarray(truth, bool),
        shares=np.ones(count) if shares is None else shares,
        taken=np.zeros(count, bool) if taken is None else np.asarray(taken),
        groups=[str(i) for i in range(count)],
        price=price,
    )


def point(threshold: float, area: float, dice: float, rate: float) -> MaskPoint:
    return MaskPoint(mask_threshold=threshold, min_area=area, lesion_dice=dice, normal_fp_rate=rate)


def at(found, threshold: float, area: float) -> MaskPoint:
    (point,) = [p for p in found.points if (p.mask_threshold, p.min_area) == (threshold, area)]
    return point


def lesions(count: int, prob: float, side: int = 10):
    """Squares of 5 x 5 of this probability, where the truth is."""
    truth = np.zeros((count, side, side), bool)
    truth[:, :5, :5] = True
    return truth * np.float32(prob), truth


def test_minimum_area_spares_what_met_its_lesion():
    truth = np.zeros((3, 10, 10), bool)
    truth[:2, :5, :5] = True
    said = np.zeros_like(truth)
    said[0, :4, :5] = True  # 20 px on the lesion
    said[2, 9, 9] = True  # a speck on a normal
    assert minimum_area(said, truth, np.ones(3)) == pytest.approx(0.1)
    assert minimum_area(said, truth, np.full(3, 0.5)) == pytest.approx(0.2)
    assert minimum_area(np.zeros_like(said), truth, np.ones(3)) == 0


def test_points_by_hand():
    prob, truth = lesions(2, 0.9)
    prob[1, :5, :5] = 0.42  # found from 0.4 down
    prob[1, 5, :5] = 0.42  # and a row too much: Dice 50 / 55
    normal = np.zeros((2, 10, 10), np.float32)
    normal[0, 9, 9] = 0.62  # a speck of 1 %
    found = curve(np.concatenate([prob, normal]), np.concatenate([truth, np.zeros_like(truth)]))
    assert at(found, 0.5, 0.0) == point(0.5, 0.0, 0.5, 0.5)
    assert at(found, 0.4, 0.0).lesion_dice == pytest.approx((1 + 50 / 55) / 2)
    assert at(found, 0.65, 0.0).normal_fp_rate == 0
    assert at(found, 0.5, 0.01).normal_fp_rate == 0.5  # reaches it
    assert at(found, 0.5, 0.02).normal_fp_rate == 0
    assert at(found, 0.5, 0.02).lesion_dice == 0.5


def test_an_area_is_a_share_of_the_image_and_not_of_the_letterbox():
    prob, truth = np.zeros((1, 10, 10), np.float32), np.zeros((1, 10, 10), bool)
    prob[0, 5, 5] = 0.9  # 1 % of the square
    assert at(curve(prob, truth), 0.5, 0.02).normal_fp_rate == 0
    assert at(curve(prob, truth, shares=np.array([0.5])), 0.5, 0.02).normal_fp_rate == 1


def test_what_a_rule_takes_away_is_not_there():
    prob, truth = lesions(2, 0.9)
    found = curve(prob, truth, taken=[True, False])
    assert at(found, 0.5, 0.0).lesion_dice == 0.5


def test_a_threshold_that_finds_more_is_taken_and_noise_is_not_chased():
    prob, truth = lesions(40, 0.42)
    prob[:20] = truth[:20] * np.float32(0.9)
    assert curve(prob, truth).chosen.mask_threshold == 0.4  # half of the lesions: far beyond noise
    prob = truth * np.float32(0.9)
    prob[0] = truth[0] * np.float32(0.42)  # one of 40, Dice better by .025: its standard error
    found = curve(prob, truth)
    assert max(p.lesion_dice for p in found.points) == 1
    assert found.chosen == found.points[0]


def test_a_price_buys_fewer_false_lesions():
    prob, truth = lesions(30, 0.9)
    normal = np.zeros((10, 10, 10), np.float32)
    normal[:, :6, :6] = 0.58
    prob[:3] = truth[:3] * np.float32(0.58)
    prob, truth = np.concatenate([prob, normal]), np.concatenate([truth, np.zeros_like(normal)])
    assert curve(prob, truth, price=0).chosen.mask_threshold == 0.5
    dear = curve(prob, truth, price=1).chosen
    assert (dear.mask_threshold, dear.normal_fp_rate) == (0.6, 0)
    assert dear.lesion_dice == pytest.approx(0.9)


def test_without_lesions_or_normals_there_is_no_such_figure_and_the_plain_point_stays():
    truth = np.zeros((3, 10, 10), bool)
    none = curve(truth + np.float32(0.55), truth, price=9)
    assert none.points[0].lesion_dice is None
    assert none.chosen == none.points[0]
    prob, truth = lesions(3, 0.9)
    assert curve(prob, truth).points[0].normal_fp_rate is None


shares = st.integers(0, 10).map(lambda n: n / 10)
points = st.lists(
    st.builds(point, st.sampled_from([0.3, 0.5, 0.7]), shares, shares, shares), min_size=1
)


@given(points, st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.5))
def test_a_higher_price_never_has_more_false_positives(tried, one, two, allowance):
    low, high = sorted((one, two))
    if high - low < 1e-6:  # where scores tie but for their last digit
        return
    cheap, dear = choose(tried, low, allowance), choose(tried, high, allowance)
    assert dear.normal_fp_rate <= cheap.normal_fp_rate + 1e-9


@given(points, st.floats(0, 2), st.floats(0, 0.5))
def test_the_plain_point_is_left_only_for_more_than_the_allowance(tried, price, allowance):
    def score(point: MaskPoint) -> float:
        return point.lesion_dice - price * point.normal_fp_rate

    chosen = choose(tried, price, allowance)
    assert chosen == tried[0] or score(chosen) > score(tried[0]) + allowance
    if score(tried[0]) + allowance < max(map(score, tried)):
        assert score(chosen) == max(map(score, tried))


def test_standard_error_counts_groups_and_not_images():
    values = np.array([0.0, 1.0, 0.5, 0.9])
    alone = standard_error(values, ["a", "b", "c", "d"])
    assert alone == pytest.approx(values.std(ddof=1) / 2)
    twice = standard_error(np.repeat(values, 5), np.repeat(["a", "b", "c", "d"], 5).tolist())
    assert twice == pytest.approx(alone)
    assert standard_error(values, ["a"] * 4) == np.inf
