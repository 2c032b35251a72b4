import math

import pytest
import torch

from hgmnet.config import LossWeights
from hgmnet.losses import joint_loss, mask_loss
from hgmnet.models.hgmnet import Prediction


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


def test_each_term_has_its_weight():
    out = Prediction(torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4), torch.randn(2, 3), ())
    mask, label = (torch.rand(2, 1, 4, 4) > 0.5).float(), torch.tensor([0, 2])

    def loss(coarse: float, classification: float) -> float:
        weights = LossWeights(coarse=coarse, classification=classification, label_smoothing=0)
        return joint_loss(out, mask, label, weights).item()

    fine = mask_loss(out.mask_logits, mask).item()
    assert loss(0, 0) == pytest.approx(fine)
    assert loss(0.5, 0) == pytest.approx(
        fine + 0.5 * mask_loss(out.coarse_mask_logits, mask).item()
    )
    entropy = torch.nn.functional.cross_entropy(out.class_logits, label).item()
    assert loss(0, 2) == pytest.approx(fine + 2 * entropy, rel=1e-5)
