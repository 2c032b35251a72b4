import socket
from typing import get_args

import pytest
import torch
from small_store import CLASSES, network, params

from hgmnet.config.model import Gates, Model
from hgmnet.errors import ConfigError
from hgmnet.models.encoders import TESTED
from hgmnet.models.hgmnet import HGMNet, lesion_pool
from hgmnet.models.image_size import check_size
from hgmnet.models.serialization import load_model, save_model
from hgmnet.models.spec import FORMAT, Seen, Spec
from hgmnet.training.losses import joint_loss

MODEL = params().model


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(1))


LARGE = {"resnet101", "resnext50_32x4d"}
"""Encoders whose tests `make test` leaves out."""

VARIANTS = {
    **{
        encoder: pytest.param(
            {"encoder": encoder}, marks=[pytest.mark.long] if encoder in LARGE else []
        )
        for encoder in TESTED
    },
    **{f"gate {gate}": {"gate": gate} for gate in get_args(Gates)},
    **{f"shared, {gate}": {"gate": gate, "shared_encoder": True} for gate in ("tied", "input")},
    "segmentation": {"tasks": "segmentation"},
    "classification": {"tasks": "classification", "coarse": False, "gate": "none"},
    "fine only": {"coarse": False, "gate": "none"},
    "fine only, self": {"coarse": False, "gate": "self"},
    "rgb": {"input": "rgb"},
    "deep supervision": {"deep_supervision": True},
    "three scales": {"class_scales": 3},
    "gradients through the map": {"detach_coarse": False},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_what_holds_for_every_variant(changes, tmp_path):
    net = network(**changes)
    for size in ((64, 32), (96, 96)):
        has_shapes_of(net, size)
    image = torch.randn(2, 1, 32, 64)
    before = said(net.eval(), image)
    save_model(tmp_path, net, spec(net))
    after = said(load_model(tmp_path)[0], image)
    for one, two, three in zip(before, said(net, image), after, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    assert unreached(net, image) == []


def has_shapes_of(net: HGMNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        out = net.eval()(torch.randn(2, 1, *size))
    assert out.mask_logits.shape == out.coarse_mask_logits.shape == (2, 1, *size)
    assert out.class_logits.shape == (2, 3)
    for gate in out.gates:
        assert 0 <= gate.min() <= gate.max() <= 1
        assert size[0] % gate.shape[-2] == 0


def unreached(net: HGMNet, image: torch.Tensor) -> list[str]:
    """The parameters that a step of the training leaves without a gradient."""
    mask, label = torch.ones_like(image), torch.tensor([0, 1])
    joint_loss(net.train()(image), mask, label, params().train.loss, net.model).backward()
    return [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None and not name.startswith(("encoder._", "coarse_encoder._"))
    ]


def said(net: HGMNet, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        out = net(image)
    masks = (out.coarse_mask_logits, out.mask_logits, *out.deep_mask_logits)
    return (*masks, out.class_logits, *out.gates)


def spec(net: HGMNet) -> Spec:
    return Spec(
        format=FORMAT,
        model=net.model,
        prepare=params().prepare,
        classes=CLASSES,
        mean=0.4,
        std=0.2,
        data="phantom",
        seed=0,
        fingerprint="f",
        parent=None,
        seen=Seen(train=(), val=(), groups=(), parent=()),
    )


def test_rgb_is_the_grey_channel_three_times(image):
    grey, rgb = network(encoder="resnet18"), network(encoder="resnet18", input="rgb")
    state = rgb.state_dict()
    summed = {
        key: value.sum(1, keepdim=True) if key.endswith("encoder.conv1.weight") else value
        for key, value in state.items()
    }
    grey.load_state_dict(summed)
    for one, two in zip(said(grey.eval(), image), said(rgb.eval(), image), strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_lesion_pool_by_hand():
    feature = torch.arange(16.0).view(1, 1, 4, 4)
    prob = torch.zeros(1, 1, 8, 8)
    prob[..., :2, :2] = 1  # the first cell; its ring: the other eight within two cells
    cells = torch.tensor([0.0, 1, 2, 4, 5, 6, 8, 9, 10])
    expected = torch.tensor([[7.5, 0.0, cells.sum() / 8.1]])
    torch.testing.assert_close(lesion_pool(feature, prob), expected)


def test_a_shared_encoder_runs_once_and_is_there_once(image):
    shared, own = network(shared_encoder=True), network()
    passes = []
    shared.encoder.register_forward_hook(lambda *_: passes.append(1))
    shared(image)
    assert len(passes) == 1
    spared = sum(p.numel() for p in own.encoder.parameters())
    assert count(own) - count(shared) == spared


def count(net: HGMNet) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("detach", [True, False])
def test_detach_coarse_stops_the_gradient_of_the_fine_mask(detach, image):
    net = network(detach_coarse=detach).train()
    net(image).mask_logits.mean().backward()
    reached = net.coarse_decoder.head[0].weight.grad is not None
    assert reached != detach


def test_an_empty_coarse_map_classifies_without_nan(image):
    net = network().eval()
    with torch.no_grad():
        net.coarse_decoder.head[0].bias.fill_(-200.0)
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
    monkeypatch.setattr("time.sleep", lambda _: None)  # the hub is asked five times
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
