import numpy as np
import pytest

from hgmnet.metrics import bootstrap as statistics
from hgmnet.metrics.bootstrap import GroupBootstrap, Mean, Ratio, paired, percentiles, whole, wilson


def test_wilson_against_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_group_comes_whole():
    groups = ["a", "b", "a", "c", "b"]
    together = {frozenset({0, 2}), frozenset({1, 4}), frozenset({3})}
    for weights in GroupBootstrap(groups, draws=50, seed=0).weights():
        for counts in weights:
            assert all(len({counts[i] for i in members}) == 1 for members in together)
            assert sum(counts[min(members)] for members in together) == 3


def test_correlated_images_widen_the_interval():
    generator = np.random.default_rng(0)
    values = np.repeat(generator.random(30), 10)
    grouped = GroupBootstrap([str(i // 10) for i in range(300)], 1000, 0)
    single = GroupBootstrap([str(i) for i in range(300)], 1000, 0)
    wide, narrow = (b.figure(Mean(values), proportion=False) for b in (grouped, single))
    assert (wide.high - wide.low) > 2 * (narrow.high - narrow.low)
    assert (wide.n, wide.groups) == (300, 30)


def test_the_interval_of_a_mean_agrees_with_the_normal_theory():
    values = np.random.default_rng(1).normal(size=400)
    figure = GroupBootstrap([str(i) for i in range(400)], 2000, 0).figure(
        Mean(values), proportion=False
    )
    half = 1.96 * values.std() / 20
    assert figure.low == pytest.approx(values.mean() - half, abs=0.015)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.015)


def test_thirty_of_thirty_one_does_not_end_in_one_to_one():
    values = np.ones(31)
    bootstrap = GroupBootstrap([str(i) for i in range(31)], 200, 0)
    figure = bootstrap.figure(Mean(values), proportion=True)
    assert figure.low == pytest.approx(wilson(1.0, 31)[0])
    assert figure.low < 0.9


@pytest.mark.parametrize(("draws", "cells"), [(7, 10**6), (250, 10**6), (250, 1000)])
def test_weights_are_the_resamples_one_by_one(draws, cells, monkeypatch):
    """And the same ones however little memory they are given."""
    monkeypatch.setattr(statistics, "_CELLS", cells)
    rng = np.random.default_rng(3)
    values, groups = rng.random(90), [str(g) for g in rng.integers(40, size=90)]
    names, inverse = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(0)
    slowly = []
    for done in range(0, draws, 100):
        for chosen in rng.integers(len(names), size=(min(100, draws - done), len(names))):
            rows = np.concatenate([np.flatnonzero(inverse == i) for i in chosen])
            slowly.append(values[rows].mean())
    bootstrap = GroupBootstrap(groups, draws, 0)
    np.testing.assert_allclose(bootstrap.drawn(Mean(values)), slowly, rtol=1e-12)


def test_a_ratio_is_of_sums_and_nan_of_nothing():
    ratio = Ratio(np.array([1.0, 0.0, 2.0]), np.array([2.0, 1.0, 2.0]))
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(ratio(weights), [3 / 5, 2 / 5, np.nan])
    assert whole(ratio, 3) == pytest.approx(3 / 5)


def test_the_paired_difference_of_means_is_the_mean_difference_with_its_interval():
    rng = np.random.default_rng(5)
    before = rng.random(120)
    gain = rng.normal(0.03, 0.05, 120)
    groups = [str(i // 2) for i in range(120)]
    found = paired(groups, Mean(before), Mean(before + gain), 2000, 0)
    alone = GroupBootstrap(groups, 2000, 0).figure(Mean(gain), proportion=False)
    assert found.difference == pytest.approx(gain.mean())
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert found.low < found.lower < found.difference < found.upper < found.high
    assert (found.n, found.groups) == (120, 60)
    deviation = gain.reshape(60, 2).mean(axis=1).std() / np.sqrt(60)
    assert found.sees == pytest.approx((1.645 + 0.842) * deviation, rel=0.1)


def test_swapping_the_models_turns_the_difference_round():
    rng = np.random.default_rng(6)
    one, other = rng.random((2, 50))
    groups = [str(i) for i in range(50)]
    there = paired(groups, Mean(one), Mean(other), 500, 0)
    back = paired(groups, Mean(other), Mean(one), 500, 0)
    assert (back.difference, back.low, back.lower) == pytest.approx(
        (-there.difference, -there.high, -there.upper)
    )


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(ValueError, match="of both models"):
        paired(["a"], Mean(np.array([np.nan])), Mean(np.array([1.0])), 100, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean", "proportion"])
@pytest.mark.parametrize("groups", [30, 120])
def test_the_interval_holds_the_truth_often_enough(kind, groups):
    """1,000 sets of groups of one to three; at p = .95 a plain bootstrap holds it 4 times in 5."""
    truth, held = (0.95 if kind == "proportion" else 0.5), 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 4, groups)
        names = np.repeat(np.arange(groups), sizes).astype(str).tolist()
        if kind == "proportion":
            values = np.repeat(rng.random(groups) < truth, sizes).astype(float)
        else:
            values = np.repeat(rng.beta(4, 4, groups), sizes) + rng.normal(0, 0.1, sizes.sum())
        figure = GroupBootstrap(names, 400, seed).figure(
            Mean(values), proportion=kind == "proportion"
        )
        held += figure.low <= truth <= figure.high
    assert held >= 930


@pytest.mark.slow
def test_a_gain_that_a_comparison_sees_is_found_four_times_in_five():
    """`sees` comes from one set; new sets with that true gain are then tested at one-sided 5 %."""
    rng = np.random.default_rng(0)
    groups = [str(i) for i in range(130)]
    first = paired(groups, Mean(np.zeros(130)), Mean(rng.normal(0, 0.15, 130)), 1000, 0)
    found = sum(
        paired(
            groups, Mean(np.zeros(130)), Mean(rng.normal(first.sees, 0.15, 130)), 500, seed
        ).lower
        > 0
        for seed in range(400)
    )
    assert 0.70 < found / 400 < 0.90


def test_percentiles_move_out_as_groups_become_few():
    """At 10 groups: t(9) = 2.2622, times the root of 10 / 9 = 2.3845; the normal tail is .0086."""
    assert percentiles(10, 0.025) == pytest.approx((0.855, 99.145), abs=5e-3)
    assert percentiles(10**6, 0.025) == pytest.approx((2.5, 97.5), abs=1e-3)
    assert percentiles(1, 0.025) == (0, 100)


def test_nothing_gives_nothing():
    figure = GroupBootstrap([], 100, 0).figure(Mean(np.ones(0)), proportion=True)
    assert (figure.value, figure.low, figure.n, figure.groups) == (None, None, 0, 0)
    nan = GroupBootstrap(["a"], 100, 0).figure(Mean(np.array([np.nan])), proportion=False)
    assert nan.value is None


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).random(20)
    groups = [str(i % 7) for i in range(20)]
    figures = [
        GroupBootstrap(groups, 200, s).figure(Mean(values), proportion=False) for s in (0, 0, 1)
    ]
    assert figures[0] == figures[1] != figures[2]
