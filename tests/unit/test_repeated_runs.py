"""Figures over repeats: of one they are the plain ones, of two their mean; differences paired."""

import numpy as np
import pytest
from small_store import CLASSES, params

from hgmnet.evaluation.figures import compare, figures
from hgmnet.evaluation.repeated_runs import averaged, difference, repeated
from tests.unit.test_report_comparison import rows, worse

MODEL = params().model


def measured(*tables, model=MODEL):
    return repeated(tables, CLASSES, model)


def test_of_one_repeat_the_figures_are_the_plain_ones():
    plain = figures(worse(), CLASSES, 200, 3, model=MODEL)
    found = {name: averaged(one, 200, 3) for name, one in measured(worse()).items()}
    assert found == plain


def test_of_two_repeats_a_figure_is_their_mean():
    found = measured(rows(), worse())
    first, second = (figures(t, CLASSES, 100, 0, model=MODEL) for t in (rows(), worse()))
    assert {"lesion_dice", "accuracy", "auroc_malignant", "ece"} <= set(found)
    for name, one in found.items():
        both = (first[name].value, second[name].value)
        assert one.values == pytest.approx(both)
        assert averaged(one, 100, 0).value == pytest.approx(np.mean(both))


def test_a_figure_of_images_that_the_repeats_chose_is_left_out():
    assert "pixel_precision" in measured(rows())
    assert "pixel_precision" not in measured(rows(), worse())  # one lesion was lost


def test_the_difference_of_single_repeats_is_the_plain_paired_one():
    before, after = measured(rows()), measured(worse())
    for name, paired in compare(rows(), worse(), CLASSES, 200, 1, model=MODEL).items():
        assert difference(before[name], after[name], 200, 1) == paired


def test_the_difference_of_means_is_the_mean_difference():
    before, after = measured(rows(), worse()), measured(worse(), worse())
    gain = difference(before["lesion_dice"], after["lesion_dice"], 200, 0)
    fine, poor = 16 / 18, 7 * 12 / 16 / 8
    assert gain.difference == pytest.approx((poor - fine) / 2)
    assert gain.low <= gain.difference <= gain.high


def test_single_tasks_are_held_against_the_joint_model_on_their_own_figures():
    alone = MODEL.model_copy(update={"tasks": "segmentation"})
    seg = measured(worse(), model=alone)
    assert "accuracy" not in seg
    assert difference(measured(rows())["lesion_dice"], seg["lesion_dice"], 100, 0).difference < 0


def test_other_images_are_not_compared():
    other = rows().assign(image=[f"other{i}" for i in range(12)])
    before, after = measured(rows())["accuracy"], measured(other)["accuracy"]
    assert difference(before, after, 100, 0) is None
