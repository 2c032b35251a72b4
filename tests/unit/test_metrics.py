import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score as binary_dice
from sklearn.metrics import jaccard_score

from hgmnet.metrics import catalogue, segmentation


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.95))
def test_counts_dice_and_iou_agree_with_scikit_learn(seed, share):
    generator = np.random.default_rng(seed)
    truth, said = generator.random((9, 11)) < share, generator.random((9, 11)) < 0.5
    tp, fp, fn, tn = segmentation.count_pixels(said, truth)
    assert tp + fp + fn + tn == 99
    assert (tp, fn) == (int((said & truth).sum()), int((~said & truth).sum()))
    counts = [np.array([count]) for count in (tp, fp, fn)]
    flat = truth.ravel(), said.ravel()
    assert segmentation.dice(*counts)[0] == pytest.approx(binary_dice(*flat, zero_division=1))
    assert segmentation.iou(*counts)[0] == pytest.approx(jaccard_score(*flat, zero_division=1))


def test_empty_cases_by_hand():
    # both empty; truth empty; prediction empty
    dice = segmentation.dice(ints(0, 0, 0), ints(0, 5, 0), ints(0, 0, 5))
    assert dice.tolist() == [1.0, 0.0, 0.0]


def test_every_metric_has_a_direction():
    assert catalogue.higher_is_better("lesion_dice")
    assert catalogue.higher_is_better("sensitivity_benign")
    assert not catalogue.higher_is_better("normal_fp_rate")
    with pytest.raises(KeyError):
        catalogue.higher_is_better("dice_of_everything")
