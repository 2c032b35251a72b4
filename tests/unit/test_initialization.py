"""Where a training begins: an encoder's weights, or another model, and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from small_store import CLASSES, params, small_store

from hgmnet.config.data import Data
from hgmnet.config.model import File
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.models.ensemble import joined
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.initialization import start_from, warm_encoders
from hgmnet.models.serialization import save_model, save_operating
from hgmnet.models.spec import (
    FORMAT,
    PROFILE,
    Operating,
    Seen,
    Spec,
    hash_name,
    identity,
    load_spec,
)
from hgmnet.training.fit import fit, quiet_lightning
from pipelines.artifacts.paths import Workspace
from pipelines.stages.train import refuse_own

MODEL = params().model
OTHER = ("malignant", "cyst", "benign", "normal")


def network(classes: int = 3, **changes) -> HGMNet:
    torch.manual_seed(5)
    return HGMNet(MODEL.model_copy(update=changes), classes)


def make_parent(root: Path, classes=CLASSES, data="phantom", **seen) -> tuple[File, HGMNet]:
    """A whole model folder `parent`, its weights unlike those of `network()`."""
    net = network(len(classes))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    spec = Spec(
        format=FORMAT,
        model=MODEL,
        prepare=params().prepare,
        classes=classes,
        mean=0.4,
        std=0.2,
        data=data,
        seed=0,
        fingerprint="f",
        parent=None,
        seen=Seen(**({"train": ("p",), "val": (), "groups": (), "parent": ("q",)} | seen)),
    )
    operating = Operating(
        temperature=1.5,
        mask_threshold=0.5,
        min_area=0.0,
        malignant_threshold=0.4,
        normal_means_no_mask=False,
        mirror=True,
    )
    save_model(root / "parent", net, spec)
    save_operating(root / "parent", operating)
    (root / "parent" / PROFILE).write_text("{}")
    return File(path="parent", sha256=identity(root / "parent")), net


def same(one: HGMNet, two: HGMNet, start: str = "") -> bool:
    pairs = two.state_dict()
    return all(
        torch.equal(value, pairs[key])
        for key, value in one.state_dict().items()
        if key.startswith(start)
    )


def test_a_file_warms_both_encoders(tmp_path):
    net, other = network(), network()
    with torch.no_grad():
        for parameter in other.encoder.parameters():
            parameter.add_(1)
    content = save({k: v.clone() for k, v in other.encoder.state_dict().items()})
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/file").write_bytes(content)
    file = File(path="weights/file", sha256=hashlib.sha256(content).hexdigest())
    net.model = MODEL.model_copy(update={"encoder_weights": file})
    warm_encoders(net, tmp_path)
    for encoder in (net.encoder, net.coarse_encoder):
        for key, value in other.encoder.state_dict().items():
            assert torch.equal(encoder.state_dict()[key], value), key
    assert same(net, network(), "decoder.")


def test_the_same_classes_take_up_every_weight(tmp_path):
    parent, known = make_parent(tmp_path)
    net = network()
    spec = start_from(net, parent, classes=CLASSES, root=tmp_path)
    assert same(net, known)
    assert spec.seen.train == ("p",)


@pytest.mark.parametrize("classes", [OTHER, ("benign", "normal", "malignant")])
def test_other_classes_or_another_order_get_a_fresh_classifier(tmp_path, classes):
    parent, known = make_parent(tmp_path)
    net, fresh = network(len(classes)), network(len(classes))
    start_from(net, parent, classes=classes, root=tmp_path)
    assert same(net, fresh, "classifier.")
    for part in ("encoder.", "coarse_encoder.", "decoder.", "coarse_decoder.", "gating."):
        assert same(net, known, part)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"decoder_channels": (32, 16, 8, 8, 8)}, "decoder.unet.blocks.0"),
        ({"gate": "none"}, "gating."),
        ({"deep_supervision": True}, "decoder.deep."),
    ],
)
def test_another_shape_is_refused_in_one_line_with_keys(tmp_path, changes, key):
    parent, _ = make_parent(tmp_path)
    with pytest.raises(
        ConfigError, match=r"^train\.init_from: parent has another architecture"
    ) as error:
        start_from(network(**changes), parent, classes=CLASSES, root=tmp_path)
    assert key in str(error.value)
    assert "more; give `model` the values that its model.json has" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_model_than_the_one_named_is_refused(tmp_path):
    parent, _ = make_parent(tmp_path)
    wrong = parent.model_copy(update={"sha256": "a" * 64})
    with pytest.raises(ConfigError, match=rf"parent is {parent.sha256}, params\.yaml has a{{64}}"):
        start_from(network(), wrong, classes=CLASSES, root=tmp_path)


def test_an_ensemble_is_refused(tmp_path):
    parent, net = make_parent(tmp_path)
    spec = load_spec(tmp_path / "parent").model_copy(update={"members": 2})
    save_model(tmp_path / "parent", joined([net, network()]), spec)
    parent = parent.model_copy(update={"sha256": identity(tmp_path / "parent")})
    with pytest.raises(ConfigError, match="parent is an ensemble of 2 networks"):
        start_from(network(), parent, classes=CLASSES, root=tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no folder .*elsewhere; put the model there"):
        start_from(
            network(),
            File(path="elsewhere", sha256="a" * 64),
            classes=CLASSES,
            root=tmp_path,
        )


@pytest.mark.parametrize("path", ["models/hgmnet", "models/../models/hgmnet/"])
def test_the_stages_own_output_is_no_place_to_start_from(tmp_path, path):
    train = params(init_from={"path": path, "sha256": "a" * 64}).train
    with pytest.raises(ConfigError, match="DVC empties it before; name a copy"):
        refuse_own(Workspace(tmp_path, "phantom"), train)
    refuse_own(Workspace(tmp_path, "phantom"), params().train)
    elsewhere = params(init_from={"path": "models/parent", "sha256": "a" * 64}).train
    refuse_own(Workspace(tmp_path, "phantom"), elsewhere)


def train(folder: Path, parent: File, data: Data | None = None):
    settings = params(epochs=1, init_from=parent.model_dump())
    quiet_lightning()
    return fit(
        small_store(folder / "store"),
        data=data or settings.data,
        prepare=settings.prepare,
        model=settings.model,
        train=settings.train,
        root=folder,
        fingerprint="f",
        checkpoints=folder / "checkpoints",
        on_epoch=lambda _: None,
    )


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
@pytest.mark.parametrize(("data", "groups"), [("phantom", {"g"}), ("elsewhere", set())])
def test_what_the_parent_saw_counts_as_seen(tmp_path, data, groups):
    parent, _ = make_parent(tmp_path, data=data, groups=("g",), val=("v",))
    spec = train(tmp_path, parent).spec
    assert spec.parent == parent.sha256
    assert (spec.mean, spec.std) == (0.4, 0.2)  # as the parent's weights expect
    assert set(spec.seen.parent) == {"p", "v", "q"}
    assert {"p", "v", "q"} < spec.seen.pixels
    assert {hash_name("g")} & set(spec.seen.groups) == set(map(hash_name, groups))


@pytest.mark.parametrize(
    "seen",
    [
        {"train": (f"{6:064x}",)},  # an image of val
        {"val": (f"{12:064x}",)},  # one of test
        {"parent": (f"{13:064x}",)},
        {"groups": ("benign/12.png",)},
    ],
)
def test_a_parent_that_saw_an_image_of_val_or_test_is_refused(tmp_path, seen):
    parent, _ = make_parent(tmp_path, **seen)
    with pytest.raises(InvalidDataError, match=r"parent was fitted on 1 images .* among them"):
        train(tmp_path, parent)
