"""What a network does with its gates."""

import pytest
import torch
from small_store import network

from hgmnet.models.gating import area_resize


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
