import socket

import pytest
import torch
from small_store import params

from hgmnet.config import Model
from hgmnet.errors import ConfigError
from hgmnet.models.gating import GAMMA_MAX, HierarchicalGating, area_resize
from hgmnet.models.geometry import check_size
from hgmnet.models.hgmnet import HGMNet

MODEL = params().model


def network(**changes) -> HGMNet:
    torch.manual_seed(0)
    return HGMNet(MODEL.model_copy(update=changes), 3)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet18", "efficientnet-b0", "tu-resnet10t"])
def test_shapes_and_that_backward_reaches_every_parameter(encoder, image):
    net = network(encoder=encoder, dropout=0.0).train()
    out = net(image)
    assert out.mask_logits.shape == out.coarse_mask_logits.shape == (2, 1, 64, 96)
    assert out.class_logits.shape == (2, 3)
    (
        out.mask_logits.mean() + out.coarse_mask_logits.mean() + out.class_logits.square().mean()
    ).backward()
    unreached = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None and not name.startswith(("encoder._", "coarse_encoder._"))
    ]
    assert unreached == []


def test_evaluation_is_deterministic(image):
    net = network().eval()
    with torch.no_grad():
        torch.testing.assert_close(net(image).mask_logits, net(image).mask_logits, atol=0, rtol=0)


def test_at_the_start_the_gate_is_the_coarse_map(image):
    with torch.no_grad():
        out = network().eval()(image)
    prob = out.coarse_mask_logits.sigmoid()
    assert len(out.gates) == 5
    for gate in out.gates:
        expected = area_resize(prob, gate).clamp(1e-3, 1 - 1e-3)
        torch.testing.assert_close(gate, expected, atol=1e-5, rtol=0)


def test_gating_moves_features_by_gamma_and_stays_within_its_bounds():
    gating = HierarchicalGating([8, 16])
    features = [torch.ones(1, 8, 16, 16), torch.ones(1, 16, 8, 8)]
    prob = torch.zeros(1, 1, 32, 32)
    prob[..., :16] = 1
    gated, _ = gating(features, prob)
    for feature in gated:
        half = feature.shape[-1] // 2
        torch.testing.assert_close(feature[..., :half].mean().item(), 1.5, atol=2e-3, rtol=0)
        torch.testing.assert_close(feature[..., half:].mean().item(), 0.5, atol=2e-3, rtol=0)
    with torch.no_grad():
        for strength in gating.strength:
            strength.fill_(100.0)
    for feature in gating(features, prob)[0]:
        assert feature.min() >= 1 - GAMMA_MAX - 1e-5
        assert feature.max() <= 1 + GAMMA_MAX + 1e-5


def test_without_a_gate_the_fine_net_ignores_the_coarse_map(image):
    plain, gated = network(gate="none").eval(), network().eval()
    with torch.no_grad():
        assert plain(image).gates == ()
        for net in (plain, gated):
            before = net(image)
            net.coarse_head[0].bias += 3.0
            after = net(image)
            same = torch.equal(before.mask_logits, after.mask_logits)
            assert same == (net is plain)
            assert not torch.equal(before.class_logits, after.class_logits)


@pytest.mark.parametrize("detach", [True, False])
def test_detach_coarse_stops_the_gradient_of_the_fine_mask(detach, image):
    net = network(detach_coarse=detach).train()
    net(image).mask_logits.mean().backward()
    reached = net.coarse_head[0].weight.grad is not None
    assert reached != detach


def test_an_empty_coarse_map_classifies_without_nan(image):
    net = network().eval()
    with torch.no_grad():
        net.coarse_head[0].bias.fill_(-200.0)
        out = net(image)
    assert out.class_logits.isfinite().all()
    assert out.mask_logits.isfinite().all()


@pytest.mark.parametrize("encoder", ["resnet19", "tu-nothing"])
def test_an_unknown_encoder_is_named(encoder):
    with pytest.raises(ConfigError, match=f"model.encoder: there is no `{encoder}`"):
        network(encoder=encoder)


def test_imagenet_weights_without_a_network_fail_in_one_line(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="encoder_weights: none") as error:
        network(encoder_weights="imagenet", encoder="resnet18")
    assert "\n" not in str(error.value)


def test_sides_that_an_encoder_cannot_take_are_refused_with_the_next_ones():
    check_size(96)
    with pytest.raises(ConfigError, match="try 96 or 128"):
        check_size(100)
    with pytest.raises(ConfigError, match="try 32 or 64"):
        check_size(20)


def test_model_is_frozen():
    assert isinstance(MODEL, Model)
    with pytest.raises(ValueError, match="frozen"):
        MODEL.gate = "none"
