import numpy as np
import pytest
import torch
from small_store import CLASSES, params

from hgmnet.errors import ConfigError
from hgmnet.inference.postprocess import (
    RawPrediction,
    classify,
    final_class,
    final_mask,
    postprocess,
)
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.tta import forward_tta
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.serialization import save_model, save_operating
from hgmnet.models.spec import (
    FORMAT,
    OPERATING,
    PROFILE,
    SPEC,
    WEIGHTS,
    Operating,
    Seen,
    Spec,
    Uncertainty,
    identity,
    load_operating,
)

OPERATING_POINT = Operating(
    temperature=1.5,
    mask_threshold=0.5,
    min_area=0.01,
    malignant_threshold=0.4,
    normal_means_no_mask=True,
    mirror=True,
)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    settings = params()
    spec = Spec(
        format=FORMAT,
        model=settings.model,
        prepare=settings.prepare,
        classes=CLASSES,
        mean=0.449,
        std=0.226,
        data="phantom",
        seed=0,
        fingerprint="f",
        parent=None,
        seen=Seen(train=(), val=(), groups=(), parent=()),
    )
    save_model(tmp_path, HGMNet(settings.model, 3), spec)
    save_operating(tmp_path, OPERATING_POINT)
    (tmp_path / PROFILE).write_text("{}")  # prediction looks only at its hash
    return tmp_path


def test_a_folder_rebuilds_the_same_model_anywhere(folder):
    images = [
        np.random.default_rng(i).integers(0, 256, (50 + i, 70), dtype=np.uint8) for i in range(3)
    ]
    first, second = (TorchPredictor.load(folder).predict(images) for _ in range(2))
    for image, one, two in zip(images, first, second, strict=True):
        assert one.probs == two.probs
        assert sum(one.probs.values()) == pytest.approx(1)
        assert one.mask.shape == image.shape
        assert (one.raw_mask == two.raw_mask).all()
        assert one.lesion_area == one.mask.sum()


def test_a_batch_equals_each_image_alone(folder):
    predictor = TorchPredictor.load(folder)
    images = [np.random.default_rng(i).integers(0, 256, (60, 60), dtype=np.uint8) for i in range(5)]
    together = predictor.predict(images, batch_size=2)
    for image, finding in zip(images, together, strict=True):
        alone = predictor.predict([image])[0]
        assert alone.probs == pytest.approx(finding.probs, abs=1e-5)
        assert (alone.raw_mask != finding.raw_mask).mean() < 0.001


def test_mirror_makes_the_answer_mirror_with_the_image(folder):
    predictor = TorchPredictor.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    one, two = predictor.predict([image, np.ascontiguousarray(image[:, ::-1])])
    assert one.probs == pytest.approx(two.probs, abs=1e-5)
    assert (one.raw_mask[:, ::-1] != two.raw_mask).mean() < 0.001


def test_every_file_changes_the_identity(folder):
    seen = {identity(folder)}
    for name in (WEIGHTS, SPEC, OPERATING, PROFILE):
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")
        seen.add(identity(folder))
    assert len(seen) == 5


@pytest.mark.parametrize("name", [WEIGHTS, SPEC, OPERATING])
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=name):
        TorchPredictor.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, SPEC, OPERATING, PROFILE])
def test_an_absent_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        TorchPredictor.load(folder)


def test_decision_is_malignant_from_the_threshold_on():
    probs = np.array([0.55, 0.4, 0.05])
    assert classify(probs, CLASSES, 0.4) == "malignant"
    assert classify(probs, CLASSES, 0.41) == "benign"
    assert classify(np.array([0.1, 0.3, 0.6]), CLASSES, 0.9) == "normal"


def test_what_is_served_obeys_minimum_area_and_the_consistency_rule():
    mask = np.zeros((10, 10), bool)
    mask[0, :2] = True
    assert final_mask(mask, "benign", OPERATING_POINT).sum() == 2
    assert not final_mask(mask, "normal", OPERATING_POINT).any()
    keep = OPERATING_POINT.model_copy(update={"normal_means_no_mask": False})
    assert final_mask(mask, "normal", keep).sum() == 2
    strict = OPERATING_POINT.model_copy(update={"min_area": 0.03})
    assert not final_mask(mask, "benign", strict).any()


def test_segmentation_alone_leaves_every_image_unclassified_and_its_mask_served():
    model = params().model.model_copy(update={"tasks": "segmentation"})
    spec = Spec(
        format=FORMAT,
        model=model,
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
    point = OPERATING_POINT.model_copy(update={"temperature": 1.0, "malignant_threshold": None})
    mask = np.full((1, 32, 32), 0.9, np.float32)
    raw = RawPrediction(mask, mask, np.zeros((1, 3), np.float32), mask[:, None].astype(np.float16))
    found = postprocess(raw, 0, (40, 50), spec, point)
    assert found.predicted == found.decision == "unclassified"
    assert found.probs == pytest.approx(dict.fromkeys(CLASSES, 1 / 3))
    assert found.lesion_area == 40 * 50


def test_an_empty_mask_makes_a_decision_normal_but_never_a_malignant_one():
    bare, found = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    on = OPERATING_POINT.model_copy(update={"no_mask_means_normal": True})
    assert final_class("benign", bare, CLASSES, on) == "normal"
    assert final_class("malignant", bare, CLASSES, on) == "malignant"
    assert final_class("unclassified", bare, CLASSES, on) == "unclassified"
    assert final_class("benign", found, CLASSES, on) == "benign"
    assert final_class("benign", bare, CLASSES, OPERATING_POINT) == "benign"
    assert final_class("benign", bare, CLASSES[:2], on) == "benign"  # there is no such class


def test_a_finding_without_a_mask_is_settled_and_says_what_was_decided(folder):
    predictor = TorchPredictor.load(folder)
    changes = {"min_area": 1.0, "malignant_threshold": 1.0, "normal_means_no_mask": False}
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    predictor.network.classifier[-1].bias.data[:] = torch.tensor([9.0, 0, 0])
    for rule, decision in ((False, "benign"), (True, "normal")):
        on = changes | {"no_mask_means_normal": rule}
        predictor.operating = OPERATING_POINT.model_copy(update=on)
        finding = predictor.predict([image])[0]
        assert (finding.decided, finding.decision, finding.large) == ("benign", decision, False)


def test_further_views_change_nothing_but_the_disagreement(folder):
    predictor = TorchPredictor.load(folder)
    square = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    plain = forward_tta(predictor.network, predictor.spec, square, mirror=True)
    more = forward_tta(predictor.network, predictor.spec, square, mirror=True, scales=(0.9, 1.1))
    assert (plain.views.shape, more.views.shape) == ((2, 2, 32, 32), (2, 4, 32, 32))
    for name in ("mask_prob", "coarse_mask_prob", "class_logits"):
        assert (getattr(plain, name) == getattr(more, name)).all()
    assert (plain.views == more.views[:, :2]).all()
    assert plain.views.astype(np.float32).mean(axis=1) == pytest.approx(plain.mask_prob, abs=1e-3)
    same = forward_tta(predictor.network, predictor.spec, square, mirror=False, scales=(1.0,))
    assert same.views[:, 0] == pytest.approx(same.views[:, 1], abs=2e-3)


def test_the_mirror_is_a_view_in_its_place(folder):
    predictor = TorchPredictor.load(folder)
    square = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    turned = np.ascontiguousarray(square[:, :, ::-1])
    one = forward_tta(predictor.network, predictor.spec, square, mirror=True).views[0]
    two = forward_tta(predictor.network, predictor.spec, turned, mirror=True).views[0]
    assert one[0] == pytest.approx(two[1][:, ::-1], abs=2e-3)
    assert one[1] == pytest.approx(two[0][:, ::-1], abs=2e-3)


def test_a_finding_above_the_bound_is_referred(folder):
    predictor = TorchPredictor.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    plain = predictor.predict([image])[0]
    assert (plain.uncertainty, plain.refer) == (0, False)  # nothing to compare it with
    assert 0 < plain.class_entropy <= 1
    for bound, referred in ((0.9, True), (1.0, False), (None, False)):
        held = Uncertainty(class_entropy=(0.0, plain.class_entropy / 2), refer_above=bound)
        predictor.operating = OPERATING_POINT.model_copy(update={"uncertainty": held})
        finding = predictor.predict([image])[0]
        assert (finding.uncertainty, finding.refer) == (1, referred)


def test_an_operating_point_from_before_is_read_and_does_what_it_did(folder):
    known = {"no_mask_means_normal", "scales", "uncertainty"}
    (folder / OPERATING).write_text(OPERATING_POINT.model_dump_json(exclude=known))
    assert load_operating(folder) == OPERATING_POINT
