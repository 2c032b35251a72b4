"""What `import hgmnet` offers: a model folder, predictions of anything that is an image, a fit."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

import hgmnet
from hgmnet.config.data import Phantom
from hgmnet.data.images import decode_grey, png_file
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.estimator import fit as estimator
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import hash_name
from hgmnet.phantom.generate import plan, render
from tests.tiny_repository import make_repository

STUB = Path(hgmnet.__file__).with_suffix(".pyi")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def predictor(workspace) -> Predictor:
    return hgmnet.Predictor.load(str(workspace.model), "cpu")


@pytest.fixture(scope="module")
def file(workspace) -> Path:
    return next(workspace.raw.rglob("*.png"))


def test_the_stub_names_what_there_is():
    tree = ast.parse(STUB.read_text())
    named = {alias.asname for node in tree.body for alias in getattr(node, "names", [])}
    assert {*named, "__version__"} == set(hgmnet.__all__)
    assert all(getattr(hgmnet, name) for name in hgmnet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hgmnet.nothing


def test_importing_it_loads_nothing_of_weight():
    code = "import hgmnet, sys; print(hgmnet.__version__, {'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1] == "set()\n"


def test_a_folder_is_loaded_by_text_or_path(predictor, workspace):
    assert isinstance(predictor, TorchPredictor)
    assert hgmnet.Predictor.load(workspace.model).identity == predictor.identity
    network, spec = hgmnet.load_model(str(workspace.model))
    assert isinstance(network, HGMNet)
    assert spec == predictor.spec


def test_a_path_bytes_and_pixels_give_the_same(predictor, file):
    content = file.read_bytes()
    grey = decode_grey(content, "")
    rgb = np.repeat(grey[..., None], 3, axis=2)
    first, *others = predictor.predict([str(file), file, content, grey, rgb])
    assert first.mask.shape == grey.shape
    for other in others:
        np.testing.assert_array_equal(other.mask, first.mask)
        assert other.probs == pytest.approx(first.probs, abs=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((4, 5), np.float32)], r"image 0: expected pixels .* got \(4, 5\) float32"),
        ([np.zeros((3, 4, 5), np.uint8)], r"image 0: expected pixels .* got \(3, 4, 5\) uint8"),
        ([np.zeros((0, 5), np.uint8)], r"image 0: expected pixels"),
        (["nowhere.png"], "nowhere.png can't be read: No such file"),
        ([b"nothing"], "image 0 "),
        ("scan.png", r"expected a list of images, got a single one: predict\(\[image\]\)"),
    ],
)
def test_what_is_no_image_is_refused(predictor, images, message):
    with pytest.raises(InvalidDataError, match=message):
        predictor.predict(images)


def test_maps_are_of_the_images_own_size(predictor, file):
    grey = decode_grey(file.read_bytes(), "")
    (maps,) = predictor.maps([file])
    every = (maps.mask_prob, maps.coarse_mask_prob, *maps.gates)
    assert len(maps.gates) == 5
    assert {one.shape for one in every} == {grey.shape}
    assert all(0 <= one.min() <= one.max() <= 1 for one in every)
    above = maps.mask_prob >= predictor.operating.mask_threshold
    np.testing.assert_array_equal(above, predictor.predict([file])[0].raw_mask)


def test_an_overlay_draws_the_border_alone(file):
    with Image.open(file) as image:
        mask = np.zeros(image.size[::-1], bool)
    plain = np.asarray(hgmnet.overlay(file, mask))
    mask[10:20, 10:20] = True
    drawn = np.asarray(hgmnet.overlay(file, mask))
    changed = (plain != drawn).any(axis=2)
    assert changed[10, 10:20].all()
    assert not changed[11:19, 11:19].any()
    assert not changed[~mask].any()
    with pytest.raises(InvalidDataError, match="expected a mask of the image's size"):
        hgmnet.overlay(file, mask[1:])


SMALL = {
    "prepare.side": 32,
    "model.encoder": "tu-test_resnet",
    "model.decoder_channels": (16, 16, 8, 8, 8),
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def own():
    settings = Phantom(seed=7, benign=6, malignant=6, normal=6, copies=0, width=64, height=64)
    cases = plan(settings)
    pictures = [render(case, settings) for case in cases]
    masks = [one.mask if one.mask.any() else None for one in pictures]
    return [one.image for one in pictures], masks, [case.label for case in cases]


def test_the_pages_code_runs_as_it_is_written(own, workspace, tmp_path, monkeypatch):
    """docs/library.md, with small images and a small network."""
    page = Path(__file__).resolve().parents[2] / "docs" / "library.md"
    predict, fit = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    images, masks, labels = own
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(workspace.model.parent)
    Image.fromarray(images[0]).save("scan.png")
    exec(predict, {})  # noqa: S102
    assert Path("overlay.png").exists()
    recipe = yaml_with(SMALL)
    monkeypatch.setattr("hgmnet.estimator.fit.RECIPE", recipe(tmp_path / "recipe.yaml"))
    patients = [str(i) for i in range(18)]
    given = {"images": images, "masks": masks, "labels": labels, "patients": patients}
    exec(fit.replace("60", "1"), given)  # noqa: S102
    assert given["predictor"].predict([images[0]])[0].mask.shape == images[0].shape


def yaml_with(settings):
    """Writes recipe.yaml with other settings."""

    def write(path):
        yaml = YAML(typ="safe", pure=True)
        tree = yaml.load(estimator.RECIPE.read_text())
        for key, value in settings.items():
            section, name = key.split(".")
            tree[section][name] = list(value) if isinstance(value, tuple) else value
        with path.open("w") as file:
            yaml.dump(tree, file)
        return path

    return write


def test_a_fit_on_ones_own_arrays_gives_a_model_folder(own, tmp_path):
    images, masks, labels = own
    epochs = []
    predictor = hgmnet.fit(
        images, masks, labels, tmp_path / "model", settings=SMALL, on_epoch=epochs.append
    )
    assert [one.epoch for one in epochs] == [1, 2]
    assert predictor.spec.classes == ("benign", "malignant", "normal")
    again = hgmnet.Predictor.load(tmp_path / "model", "cpu").predict(images[:2])
    assert [one.mask.shape for one in again] == [image.shape for image in images[:2]]
    known = predictor.spec.seen
    assert len(known.train) + len(known.val) == 18
    assert len(known.val) in {3, 4}
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "operating.json",
        "profile.json",
        "weights.safetensors",
    ]


def test_no_group_is_in_train_and_val(own, tmp_path):
    images, masks, labels = own
    groups = [str(i // 2) for i in range(18)]
    settings = SMALL | {"train.epochs": 1}
    model = hgmnet.fit(images, masks, labels, tmp_path, groups=groups, val=0.3, settings=settings)
    seen = model.spec.seen
    assert len(seen.val) % 2 == 0
    assert set(seen.groups) == set(map(hash_name, groups))


ZERO_AND_ONE = png_file(Image.fromarray(np.eye(40, dtype=np.uint8)))
"""A mask file as other libraries write them, which was read as: no lesion."""


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"settings": {"train.epoch": 1}}, ConfigError, "settings: there is no train.epoch"),
        ({"settings": {"train.epochs": 0}}, ConfigError, "settings: train.epochs: .* got 0"),
        ({"labels": ["benign"] * 18}, InvalidDataError, "expected `malignant` and another class"),
        ({"labels": ["malignant"]}, InvalidDataError, "18 images, 18 masks, 1 labels"),
        ({"masks": [np.ones((3, 3), bool)] * 18}, InvalidDataError, "mask 0: expected the image's"),
        ({"masks": [ZERO_AND_ONE] * 18}, InvalidDataError, "got values up to 1; pass its pixels"),
        ({"val": 0.9}, ConfigError, "val: expected a fraction above 0 and up to 0.5, got 0.9"),
    ],
)
def test_what_can_not_be_trained_on_is_refused(own, tmp_path, changes, error, message):
    images, masks, labels = own
    given = {"images": images, "masks": masks, "labels": labels, "settings": SMALL} | changes
    with pytest.raises(error, match=message):
        hgmnet.fit(**given, folder=tmp_path)
    assert not list(tmp_path.iterdir())
