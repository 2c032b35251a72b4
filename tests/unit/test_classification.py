"""Scores of classes against scikit-learn, whole and as drawn, and their empty cases by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from hgmnet.metrics.bootstrap import whole
from hgmnet.metrics.classification import (
    Auroc,
    AveragePrecision,
    BalancedAccuracy,
    CalibrationError,
    MacroF1,
    brier,
)

SEEDS = st.integers(0, 10_000)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, levels=st.sampled_from([2, 5, 1000]))
def test_ranking_scores_agree_with_scikit_learn_ties_and_weights_included(seed, levels):
    rng = np.random.default_rng(seed)
    positive = rng.random(40) < 0.4
    positive[:2] = True, False
    score = rng.integers(0, levels, 40).astype(float)
    weights = rng.integers(0, 4, (3, 40)).astype(float)
    weights[:, :2] = 1
    for kind, expected in (
        (Auroc, reference.roc_auc_score),
        (AveragePrecision, reference.average_precision_score),
    ):
        found = kind(positive, score)
        assert whole(found, 40) == pytest.approx(expected(positive, score))
        drawn = [expected(positive, score, sample_weight=row) for row in weights]
        np.testing.assert_allclose(found(weights), drawn)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_class_scores_agree_with_scikit_learn_on_every_draw(seed):
    rng = np.random.default_rng(seed)
    label, said = rng.integers(0, 3, (2, 30))
    label[:3] = 0, 1, 2
    weights = rng.integers(0, 3, (4, 30)).astype(float)
    weights[:, :3] = 1
    f1, balanced = MacroF1(label, said, 3)(weights), BalancedAccuracy(label, said)(weights)
    for i, row in enumerate(weights):
        rows = np.repeat(np.arange(30), row.astype(int))
        assert f1[i] == pytest.approx(reference.f1_score(label[rows], said[rows], average="macro"))
        expected = reference.balanced_accuracy_score(label[rows], said[rows])
        assert balanced[i] == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_the_brier_score_of_two_classes_is_twice_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    label, prob = rng.integers(0, 2, 25), rng.random(25)
    expected = 2 * reference.brier_score_loss(label, prob, pos_label=1)
    found = brier(label, np.stack([1 - prob, prob], axis=1))
    assert found.mean() == pytest.approx(expected)


def test_brier_by_hand():
    found = brier(np.array([0, 2]), np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]]))
    assert found.tolist() == pytest.approx([0.25 + 0.09 + 0.04, 0.0])


def test_calibration_error_by_hand():
    # bin .9-1: confidence .95, accuracy .5 (2 of 3 rows); bin .5-.6: .55, accuracy 1
    found = CalibrationError(np.array([True, False, True]), np.array([0.95, 0.95, 0.55]))
    expected = 2 / 3 * abs(0.95 - 0.5) + 1 / 3 * abs(0.55 - 1)
    assert whole(found, 3) == pytest.approx(expected)
    assert found(np.array([[0.0, 0.0, 2.0]]))[0] == pytest.approx(0.45)


def test_what_cannot_be_said_is_nan():
    ones, zeros = np.array([True, True]), np.array([0.1, 0.2])
    assert math.isnan(whole(Auroc(ones, zeros), 2))
    assert math.isnan(whole(AveragePrecision(~ones, zeros), 2))
    assert math.isnan(whole(MacroF1(np.zeros(0, int), np.zeros(0, int), 3), 0))
    draw = np.array([[1.0, 0.0]])
    assert math.isnan(BalancedAccuracy(np.array([0, 1]), np.array([0, 1]))(draw)[0])
    assert math.isnan(Auroc(np.array([True, False]), zeros)(draw)[0])
