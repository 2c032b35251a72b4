"""Weights of a file: of whose keys, for which channels, and what is said where they don't fit."""

import hashlib
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save
from small_store import params

from hgmnet.config.model import File
from hgmnet.errors import ConfigError
from hgmnet.models.encoders import build_encoder, load_encoder_weights, say_missing

MODEL = params().model
REAL = {
    "resnet18-imagenet-to-layer3": ("resnet18", 20, "layer4."),
    "mobilenet_v2-imagenet": ("mobilenet_v2", 0, ""),
    "resnet101-early-from-resnet50-imagenet": ("resnet101", 400, ("layer3.", "layer4.")),
}
"""The encoder, and which of its tensors the file does not have."""


def encoder(name: str, channels: str = "rgb") -> torch.nn.Module:
    torch.manual_seed(7)
    return build_encoder(MODEL.model_copy(update={"encoder": name, "input": channels})).eval()


def written(folder: Path, tensors: dict[str, torch.Tensor] | bytes) -> File:
    content = tensors if isinstance(tensors, bytes) else save(tensors)
    (folder / "file.safetensors").write_bytes(content)
    return File(path="file.safetensors", sha256=hashlib.sha256(content).hexdigest())


def weights_of(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    torch.manual_seed(1)
    return torchvision.models.resnet18(weights=None).eval()


@torch.no_grad()
def layer4(net: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """The deepest features of torchvision's own ResNet."""
    stem = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    return net.layer4(net.layer3(net.layer2(net.layer1(stem))))


def test_torchvisions_weights_make_torchvisions_features(tmp_path, resnet):
    image = torch.randn(2, 3, 64, 64)
    net = encoder("resnet18")
    missing = load_encoder_weights(net, written(tmp_path, weights_of(resnet)), tmp_path)
    assert missing == ()
    with torch.no_grad():
        torch.testing.assert_close(net(image)[-1], layer4(resnet, image))


def test_a_grey_encoder_answers_as_the_rgb_one_for_a_grey_image(tmp_path, resnet):
    grey = torch.randn(2, 1, 64, 64)
    net = encoder("resnet18", "grey")
    load_encoder_weights(net, written(tmp_path, weights_of(resnet)), tmp_path)
    with torch.no_grad():
        found = net(grey)[-1]
    expected = layer4(resnet, grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("densenet121", torchvision.models.densenet121),
        ("mobilenet_v2", torchvision.models.mobilenet_v2),
        ("tu-resnet10t", lambda: timm.create_model("resnet10t")),
        ("tu-regnety_004", lambda: timm.create_model("regnety_004")),
        ("tu-mobilenetv3_large_100", lambda: timm.create_model("mobilenetv3_large_100")),
    ],
)
def test_whole_classifiers_of_torchvision_and_timm_fit_their_heads_left_out(tmp_path, name, theirs):
    given = weights_of(theirs())
    net = encoder(name)
    assert load_encoder_weights(net, written(tmp_path, given), tmp_path) == ()
    for key, value in net.state_dict().items():
        assert torch.equal(value, given[key.removeprefix("model.")]), key


@pytest.mark.parametrize("name", ["tu-resnet10t", "efficientnet-b0"])
def test_an_encoders_own_keys_are_known_too(tmp_path, name):
    net, other = encoder(name), encoder(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert load_encoder_weights(net, written(tmp_path, weights_of(other)), tmp_path) == ()
    for key, value in other.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key


def test_what_the_file_lacks_stays_random_and_is_told_in_one_line(tmp_path, resnet, capsys):
    given = {k: v for k, v in weights_of(resnet).items() if not k.startswith("layer4.1.")}
    net = encoder("resnet18")
    before = weights_of(net)
    file = written(tmp_path, given)
    missing = load_encoder_weights(net, file, tmp_path)
    assert len(missing) == 10
    assert all(key.startswith("layer4.1.") for key in missing)
    assert torch.equal(net.layer4[1].conv1.weight, before["layer4.1.conv1.weight"])
    assert torch.equal(net.layer4[0].conv1.weight, resnet.layer4[0].conv1.weight)
    say_missing(file, missing)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("file.safetensors lacks 10 of the encoder's tensors, which start at")
    assert line.endswith(" and 5 more")


def test_a_whole_file_is_told_of_with_no_line(capsys):
    say_missing(File(path="x", sha256="a" * 64), ())
    assert capsys.readouterr().err == ""


def test_keys_without_a_place_and_other_shapes_are_listed_five_at_most(tmp_path, resnet):
    given = weights_of(resnet) | {f"strange{i}": torch.zeros(1) for i in range(6)}
    given["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    net = encoder("resnet18")
    before = weights_of(net)
    with pytest.raises(ConfigError) as error:
        load_encoder_weights(net, written(tmp_path, given), tmp_path)
    said = str(error.value)
    assert "conv1.weight is (64, 3, 3, 3), expected (64, 3, 7, 7)" in said
    assert "strange0 is not in the encoder" in said
    assert said.endswith("and 2 more")
    assert "\n" not in said
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize("change", [{"sha256": "a" * 64}, {"path": "elsewhere"}])
def test_another_file_or_none_is_refused_in_one_line(tmp_path, change, resnet):
    file = written(tmp_path, weights_of(resnet)).model_copy(update=change)
    with pytest.raises(ConfigError) as error:
        load_encoder_weights(encoder("resnet18"), file, tmp_path)
    expected = "has sha256" if "sha256" in change else "elsewhere can't be read; put the file there"
    assert str(error.value).startswith("model.encoder_weights: ")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^file\.safetensors is no safetensors file: "):
        load_encoder_weights(encoder("resnet18"), written(tmp_path, b"a pickle"), tmp_path)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_real_files_fit(pretrained, name, channels):
    path = pretrained / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    of, lacking, where = REAL[name]
    net = encoder(of, channels)
    file = File(path=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    missing = load_encoder_weights(net, file, pretrained)
    assert len(missing) == lacking
    assert all(key.startswith(where) for key in missing)
    given = load_file(path)
    state = net.state_dict()
    for key in set(given) & set(state):
        own = given[key]
        if own.ndim == 4 and own.shape != state[key].shape:
            own = own.sum(dim=1, keepdim=True)
        assert torch.equal(state[key], own), key
