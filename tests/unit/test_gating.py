"""The gates by hand."""

import pytest
import torch

from hgmnet.models.gating import GAMMA_MAX, HierarchicalGating, build_gating


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("multiply", [0.0, 0.25, 1.0]),
        ("reverse", [1.0, 0.75, 0.0]),
        ("uncertainty", [1.0, 1.5, 1.0]),
        ("self", [1.0, 1.0, 1.0]),
        ("free", [1.0, 1.0, 1.0]),
    ],
)
def test_each_form_weighs_features_as_it_says_at_the_start(form, expected):
    prob = torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    (gated,), (gate,) = build_gating(form, [4])([torch.ones(3, 4, 4, 4)], prob)
    assert gate.shape == (3, 1, 4, 4)
    torch.testing.assert_close(gated.mean(dim=(1, 2, 3)), torch.tensor(expected))


@pytest.mark.parametrize("form", ["tied", "free", "self"])
def test_the_learnt_gates_stay_within_their_bounds(form):
    gating = build_gating(form, [8, 16])
    with torch.no_grad():
        for parameter in gating.parameters():
            parameter.normal_(std=100.0)
    features = [torch.ones(1, 8, 16, 16), torch.ones(1, 16, 8, 8)]
    for feature in gating(features, torch.rand(1, 1, 32, 32))[0]:
        assert feature.min() >= 1 - GAMMA_MAX - 1e-5
        assert feature.max() <= 1 + GAMMA_MAX + 1e-5


def test_gating_moves_features_by_gamma():
    gating = HierarchicalGating([8, 16])
    features = [torch.ones(1, 8, 16, 16), torch.ones(1, 16, 8, 8)]
    prob = torch.zeros(1, 1, 32, 32)
    prob[..., :16] = 1
    gated, _ = gating(features, prob)
    for feature in gated:
        half = feature.shape[-1] // 2
        torch.testing.assert_close(feature[..., :half].mean().item(), 1.5, atol=2e-3, rtol=0)
        torch.testing.assert_close(feature[..., half:].mean().item(), 0.5, atol=2e-3, rtol=0)
