import numpy as np
import pytest
from small_store import params

from hgmnet.calibration import calibrate, fit_temperature, minimum_area, threshold_for
from hgmnet.config import Calibrate, Model
from hgmnet.errors import InvalidDataError
from hgmnet.inference import Raw, softmax

MODEL = params().model
AIM = Calibrate(malignant_sensitivity=0.9, normal_means_no_mask=True, mirror=False)


def test_the_temperature_that_made_the_labels_is_found_again():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3)).astype(np.float32) * 2
    labels = np.array([generator.choice(3, p=p) for p in softmax(logits / 2)])
    assert fit_temperature(logits, labels) == pytest.approx(2.0, rel=0.1)


def test_the_threshold_passes_the_stated_share_of_positives_and_not_one_more():
    scores = np.arange(1, 21) / 20
    threshold = threshold_for(scores, 0.9)
    assert (scores >= threshold).mean() == pytest.approx(0.9)
    assert threshold == pytest.approx(0.125)
    assert threshold_for(np.array([0.3]), 0.9) == pytest.approx(0.15)


def test_minimum_area_spares_what_met_its_lesion():
    truth = np.zeros((3, 10, 10), bool)
    truth[:2, :5, :5] = True
    said = np.zeros_like(truth)
    said[0, :4, :5] = True  # 20 px on the lesion
    said[2, 9, 9] = True  # a speck on a normal
    assert minimum_area(said, truth, np.ones(3)) == pytest.approx(0.1)
    assert minimum_area(said, truth, np.full(3, 0.5)) == pytest.approx(0.2)
    assert minimum_area(np.zeros_like(said), truth, np.ones(3)) == 0


def test_val_without_malignant_images_is_refused():
    raw = Raw(
        np.zeros((2, 4, 4), np.float32),
        np.zeros((2, 4, 4), np.float32),
        np.zeros((2, 3), np.float32),
    )
    with pytest.raises(InvalidDataError, match="no malignant image"):
        calibrate(
            raw,
            np.zeros((2, 4, 4), np.uint8),
            np.array([0, 2]),
            classes=("benign", "malignant", "normal"),
            shares=np.ones(2),
            aim=AIM,
            model=MODEL,
        )


def chosen(model: Model, **changes):
    """Of six images, each lesion found whole; the classes told at random."""
    masks = np.zeros((6, 10, 10), np.uint8)
    masks[:4, :5, :5] = 1
    logits = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    given = {"mask_prob": masks.astype(np.float32), "class_logits": logits} | changes
    return calibrate(
        Raw(coarse_mask_prob=given["mask_prob"], **given),
        masks,
        np.array([0, 0, 1, 1, 2, 2]),
        classes=("benign", "malignant", "normal"),
        shares=np.ones(6),
        aim=AIM,
        model=model,
    )


def test_nothing_is_fitted_on_what_a_model_does_not_learn():
    segmentation = Model.model_validate(MODEL.model_dump() | {"tasks": "segmentation"})
    found = chosen(segmentation, class_logits=np.zeros((6, 3), np.float32))
    assert (found.temperature, found.malignant_threshold) == (1, None)
    assert found.min_area == pytest.approx(0.125)
    alone = {"tasks": "classification", "coarse": False, "gate": "none"}
    classification = Model.model_validate(MODEL.model_dump() | alone)
    found = chosen(classification, mask_prob=np.full((6, 10, 10), 2e-9, np.float32))
    assert found.min_area == 0
    assert found.temperature != 1
    assert 0 < found.malignant_threshold < 1


def test_segmentation_alone_needs_no_malignant_image():
    segmentation = Model.model_validate(MODEL.model_dump() | {"tasks": "segmentation"})
    raw = Raw(*(np.zeros((2, 4, 4), np.float32),) * 2, np.zeros((2, 3), np.float32))
    found = calibrate(
        raw,
        np.zeros((2, 4, 4), np.uint8),
        np.array([0, 2]),
        classes=("benign", "malignant", "normal"),
        shares=np.ones(2),
        aim=AIM,
        model=segmentation,
    )
    assert found.malignant_threshold is None
