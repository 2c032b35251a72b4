"""Agreement and loss of two ways to run a model, counted by hand."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from hgmnet.inference.parity import Loss, loss, parity
from hgmnet.inference.postprocess import Prediction


def finding(pixels, predicted="benign", benign=0.75):
    mask = np.zeros((10, 100), bool)
    mask.flat[:pixels] = True
    return Prediction(
        probs={"benign": benign, "malignant": 1 - benign},
        predicted=predicted,
        decided=predicted,
        decision=predicted,
        mask=mask,
        raw_mask=mask,
        coarse_mask=mask,
        large=True,
        lesion_area=pixels,
        box=None,
        class_entropy=0.0,
        mask_disagreement=0.0,
        uncertainty=0.0,
        refer=False,
    )


def test_one_pixel_in_a_thousand_and_one_in_ten_thousand_still_agree():
    one, other = [finding(5), finding(5)], [finding(5), finding(6, benign=0.75 + 9e-5)]
    agreed = parity(one, other)
    assert (agreed.images, agreed.mask_agreement) == (2, 0.999)
    assert agreed.prob_gap == pytest.approx(9e-5)
    assert agreed.holds
    assert not parity(one, [finding(5), finding(7)]).holds
    assert not parity(one, [finding(5, benign=0.7502), finding(5)]).holds


def test_the_masks_before_the_rules_must_agree_too():
    served_alike = replace(finding(5), raw_mask=finding(500).raw_mask)
    assert not parity([finding(5)], [served_alike]).holds


def test_loss_is_of_the_images_with_a_lesion_and_of_every_class():
    truth = [finding(10).mask, finding(10).mask, finding(0).mask]
    labels = ["benign", "malignant", "benign"]
    first = [finding(10), finding(10, "malignant"), finding(0)]
    second = [finding(10), finding(30, "benign"), finding(9)]
    lost = loss(first, second, truth, labels)
    assert (lost.images, lost.lesions) == (3, 2)
    assert lost.before == (1, 1)
    assert lost.after == pytest.approx((0.75, 2 / 3))  # 2 * 10 / (10 + 30) = 0.5 of the second
    assert lost.lesion_dice == pytest.approx(0.25)
    assert lost.within(0.26, 0.34)
    assert not lost.within(0.24, 0.34)
    assert not lost.within(0.26, 0.33)


def test_what_a_model_does_not_tell_is_not_lost():
    nothing = finding(0).mask
    lost = loss([finding(3, "unclassified")], [finding(4, "unclassified")], [nothing], ["benign"])
    assert isnan(lost.lesion_dice)
    assert isnan(lost.accuracy)
    assert lost.within(0.0, 0.0)


def test_a_gain_is_no_loss():
    assert Loss(2, 2, before=(0.5, 0.5), after=(0.6, 0.6)).within(0.0, 0.0)
