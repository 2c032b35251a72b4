import math

import pytest
import torch
from small_store import params

from hgmnet.config.training import LossWeights
from hgmnet.models.hgmnet import NetworkOutput
from hgmnet.training.losses import deep_loss, joint_loss, mask_loss


def test_mask_loss_by_hand():
    logits = torch.zeros(1, 1, 2, 2)  # prob 1/2 everywhere
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    dice = (2 * 1 + 1) / (2 + 2 + 1)
    assert mask_loss(logits, mask).item() == pytest.approx(1 - dice + math.log(2))


def test_a_perfect_mask_costs_next_to_nothing():
    mask = (torch.rand(2, 1, 16, 16) > 0.5).float()
    assert mask_loss((mask * 2 - 1) * 30, mask).item() < 1e-3


def test_what_is_predicted_on_an_empty_truth_costs_and_has_a_gradient():
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = mask_loss(logits, torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert (logits.grad > 0).all()
    less = mask_loss(torch.full((1, 1, 4, 4), -1.0), torch.zeros(1, 1, 4, 4))
    assert less < loss


def made_up_prediction() -> NetworkOutput:
    deep = tuple(torch.randn(2, 1, side, side) for side in (1, 2))
    return NetworkOutput(
        torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4), torch.randn(2, 3), (), deep
    )


OUT = made_up_prediction()
MASK, LABEL = (torch.rand(2, 1, 4, 4) > 0.5).float(), torch.tensor([0, 2])
FINE, COARSE = (mask_loss(x, MASK).item() for x in (OUT.mask_logits, OUT.coarse_mask_logits))
ENTROPY = torch.nn.functional.cross_entropy(OUT.class_logits, LABEL).item()
DEEP = deep_loss(OUT.deep_mask_logits, MASK).item()


def loss(coarse=0.0, deep=0.0, classification=0.0, without_coarse=False, **model) -> float:
    weights = LossWeights(
        coarse=coarse, deep=deep, classification=classification, label_smoothing=0
    )
    changed = params().model.model_copy(update=model | {"coarse": not without_coarse})
    return joint_loss(OUT, MASK, LABEL, weights, changed).item()


def test_each_term_has_its_weight():
    assert loss() == pytest.approx(FINE)
    assert loss(coarse=0.5) == pytest.approx(FINE + 0.5 * COARSE)
    assert loss(classification=2) == pytest.approx(FINE + 2 * ENTROPY, rel=1e-5)
    assert loss(deep=2) == pytest.approx(FINE)
    assert loss(deep=2, deep_supervision=True) == pytest.approx(FINE + 2 * DEEP, rel=1e-5)


def test_what_a_model_does_not_learn_costs_nothing():
    every = {"coarse": 1.0, "deep": 1.0, "classification": 1.0}
    assert loss(**every, tasks="segmentation") == pytest.approx(FINE + COARSE)
    alone = {"without_coarse": True, "gate": "none"}
    assert loss(**every, **alone) == pytest.approx(FINE + ENTROPY, rel=1e-5)
    assert loss(**every, **alone, tasks="classification") == pytest.approx(ENTROPY)


def test_deep_masks_are_judged_at_full_resolution():
    right = torch.where(MASK > 0, 30.0, -30.0)
    assert deep_loss((right, right), MASK).item() < 1e-3
    assert deep_loss((right, -right), MASK).item() == pytest.approx(
        mask_loss(-right, MASK).item() / 2, rel=1e-3
    )
