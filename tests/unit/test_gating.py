"""The gates by hand, and what a network does with them."""

import pytest
import torch
from small_store import network

from hgmnet.models.gating import GAMMA_MAX, HierarchicalGating, area_resize, build_gating


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(1))


def test_at_the_start_the_gate_is_the_coarse_map(image):
    with torch.no_grad():
        out = network().eval()(image)
    prob = out.coarse_mask_logits.sigmoid()
    assert len(out.gates) == 5
    for gate in out.gates:
        expected = area_resize(prob, gate).clamp(1e-3, 1 - 1e-3)
        torch.testing.assert_close(gate, expected, atol=1e-5, rtol=0)


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


def test_the_input_gate_hides_what_the_map_leaves_out(image):
    net = network(gate="input").eval()
    with torch.no_grad():
        nothing = net(image, torch.zeros_like(image))
        other = net(-image, torch.zeros_like(image))
    assert torch.equal(nothing.mask_logits, other.mask_logits)


def test_a_map_can_be_put_in_the_place_of_the_coarse_one(image):
    net = network().eval()
    with torch.no_grad():
        own = net(image)
        same = net(image, own.coarse_mask_logits.sigmoid())
        truth = net(image, torch.ones_like(image))
    assert torch.equal(own.mask_logits, same.mask_logits)
    assert not torch.equal(own.mask_logits, truth.mask_logits)
    assert torch.equal(own.coarse_mask_logits, truth.coarse_mask_logits)
    torch.testing.assert_close(truth.gates[0], torch.full_like(truth.gates[0], 0.999))


def test_the_self_gate_does_not_see_the_map(image):
    net = network(gate="self").eval()
    with torch.no_grad():
        for part in net.gating.correct:
            torch.nn.init.normal_(part.weight)
        one, two = net(image, torch.zeros_like(image)), net(image, torch.ones_like(image))
    assert torch.equal(one.mask_logits, two.mask_logits)
    assert one.gates[0].std() > 0


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


def test_without_a_gate_the_fine_net_ignores_the_coarse_map(image):
    plain, gated = network(gate="none").eval(), network().eval()
    with torch.no_grad():
        assert plain(image).gates == ()
        for net in (plain, gated):
            before = net(image)
            net.coarse_decoder.head[0].bias += 3.0
            after = net(image)
            same = torch.equal(before.mask_logits, after.mask_logits)
            assert same == (net is plain)
            assert not torch.equal(before.class_logits, after.class_logits)
