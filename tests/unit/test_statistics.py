import numpy as np
import pytest

from hgmnet.statistics import GroupBootstrap, Mean, wilson


def test_wilson_against_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_group_comes_whole():
    groups = ["a", "b", "a", "c", "b"]
    together = {frozenset({0, 2}), frozenset({1, 4}), frozenset({3})}
    for rows in GroupBootstrap(groups, draws=50, seed=0).resamples():
        counts = np.bincount(rows, minlength=5)
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


@pytest.mark.parametrize("draws", [7, 250])
def test_means_all_at_once_are_those_of_the_resamples_one_by_one(draws):
    generator = np.random.default_rng(3)
    values, groups = generator.random(90), [str(g) for g in generator.integers(40, size=90)]
    bootstrap = GroupBootstrap(groups, draws, 0)
    slowly = bootstrap.drawn(lambda rows: float(values[rows].mean()))
    np.testing.assert_allclose(bootstrap.drawn(Mean(values)), slowly, rtol=1e-12)
    assert len(slowly) == draws


def test_nothing_gives_nothing():
    figure = GroupBootstrap([], 100, 0).figure(Mean(np.ones(0)), proportion=True)
    assert (figure.value, figure.low, figure.n, figure.groups) == (None, None, 0, 0)
    nan = GroupBootstrap(["a"], 100, 0).figure(lambda _: float("nan"), proportion=False)
    assert nan.value is None


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).random(20)
    groups = [str(i % 7) for i in range(20)]
    figures = [
        GroupBootstrap(groups, 200, s).figure(Mean(values), proportion=False) for s in (0, 0, 1)
    ]
    assert figures[0] == figures[1] != figures[2]
