import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score
from sklearn.metrics import f1_score as binary_dice

from hgmnet import metrics


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.95))
def test_counts_dice_and_iou_agree_with_scikit_learn(seed, share):
    generator = np.random.default_rng(seed)
    truth, said = generator.random((9, 11)) < share, generator.random((9, 11)) < 0.5
    tp, fp, fn, tn = metrics.count_pixels(said, truth)
    assert tp + fp + fn + tn == 99
    assert (tp, fn) == (int((said & truth).sum()), int((~said & truth).sum()))
    counts = [np.array([count]) for count in (tp, fp, fn)]
    flat = truth.ravel(), said.ravel()
    assert metrics.dice(*counts)[0] == pytest.approx(binary_dice(*flat, zero_division=1))
    assert metrics.iou(*counts)[0] == pytest.approx(jaccard_score(*flat, zero_division=1))


def test_empty_cases_by_hand():
    # both empty; truth empty; prediction empty
    dice = metrics.dice(ints(0, 0, 0), ints(0, 5, 0), ints(0, 0, 5))
    assert dice.tolist() == [1.0, 0.0, 0.0]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 1000]))
def test_auroc_and_f1_agree_with_scikit_learn_ties_included(seed, levels):
    generator = np.random.default_rng(seed)
    positive = generator.random(40) < 0.4
    positive[:2] = True, False
    score = generator.integers(0, levels, 40).astype(float)
    assert metrics.auroc(positive, score) == pytest.approx(roc_auc_score(positive, score))
    label, said = generator.integers(0, 3, 40), generator.integers(0, 3, 40)
    expected = f1_score(label, said, average="macro")
    assert metrics.macro_f1(label, said, 3) == pytest.approx(expected)


def test_what_cannot_be_said_is_nan():
    assert math.isnan(metrics.auroc(np.array([True, True]), np.array([0.1, 0.2])))
    assert math.isnan(metrics.recall(np.array([False]), np.array([True])))
    assert math.isnan(metrics.expected_calibration_error(np.zeros(0, bool), np.zeros(0)))


def test_calibration_error_by_hand():
    # bin .9-1: confidence .95, accuracy .5 (2 of 4); bin .5-.6: .55, accuracy 1 (1 of 4 images)
    correct = np.array([True, False, True])
    confidence = np.array([0.95, 0.95, 0.55])
    expected = 2 / 3 * abs(0.95 - 0.5) + 1 / 3 * abs(0.55 - 1)
    assert metrics.expected_calibration_error(correct, confidence) == pytest.approx(expected)


def test_every_metric_has_a_direction():
    assert metrics.higher_is_better("lesion_dice")
    assert metrics.higher_is_better("sensitivity_benign")
    assert not metrics.higher_is_better("normal_fp_rate")
    with pytest.raises(KeyError):
        metrics.higher_is_better("dice_of_everything")
