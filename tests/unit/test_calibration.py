import numpy as np
import pytest
from small_store import params

from hgmnet.calibration.operating_point import Val, calibrate, fit_temperature, threshold_for
from hgmnet.config.evaluation import Calibrate
from hgmnet.config.model import Model
from hgmnet.errors import InvalidDataError
from hgmnet.inference.postprocess import RawPrediction, softmax

MODEL = params().model
CLASSES = ("benign", "malignant", "normal")
AIM = Calibrate(
    malignant_sensitivity=0.9,
    normal_fp_price=0.25,
    normal_means_no_mask=True,
    no_mask_means_normal=True,
    mirror=False,
    scales=(0.9,),
    refer_share=0.2,
)


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


def val(masks: np.ndarray, labels: list[int], **raw) -> Val:
    """Images whose masks are found whole and whose classes are all as likely, but for `raw`."""
    prob = masks.astype(np.float32)
    logits = np.zeros((len(labels), 3), np.float32)
    said = {"mask_prob": prob, "class_logits": logits} | raw
    views = said["mask_prob"][:, None].astype(np.float16)
    return Val(
        RawPrediction(coarse_mask_prob=prob, **({"views": views} | said)),
        truth=masks > 0,
        labels=np.array(labels),
        shares=np.ones(len(labels)),
        groups=[str(i) for i in range(len(labels))],
    )


def learning(**changes) -> Model:
    return Model.model_validate(MODEL.model_dump() | changes)


def test_val_without_malignant_images_is_refused():
    with pytest.raises(InvalidDataError, match="no malignant image"):
        calibrate(val(np.zeros((2, 4, 4)), [0, 2]), classes=CLASSES, aim=AIM, model=MODEL)


def test_segmentation_alone_needs_no_malignant_image():
    seen = val(np.zeros((2, 4, 4)), [0, 2])
    found = calibrate(seen, classes=CLASSES, aim=AIM, model=learning(tasks="segmentation"))
    assert found.operating.malignant_threshold is None


def six(**raw) -> Val:
    """Four lesions of a quarter of the image, each found whole; the classes told at random."""
    masks = np.zeros((6, 10, 10))
    masks[:4, :5, :5] = 1
    logits = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    return val(masks, [0, 0, 1, 1, 2, 2], **({"class_logits": logits} | raw))


def test_nothing_is_fitted_on_what_a_model_does_not_learn():
    seen = six(class_logits=np.zeros((6, 3), np.float32))
    found = calibrate(seen, classes=CLASSES, aim=AIM, model=learning(tasks="segmentation"))
    point = found.operating
    assert (point.temperature, point.malignant_threshold) == (1, None)
    assert point.min_area == pytest.approx(0.125)
    assert not point.no_mask_means_normal
    assert not point.uncertainty.class_entropy
    assert point.uncertainty.mask_disagreement

    alone = learning(tasks="classification", coarse=False, gate="none")
    seen = six(mask_prob=np.full((6, 10, 10), 2e-9, np.float32))
    found = calibrate(seen, classes=CLASSES, aim=AIM, model=alone)
    point = found.operating
    assert (point.min_area, point.mask_threshold, found.curve.points) == (0, 0.5, ())
    assert point.temperature != 1
    assert 0 < point.malignant_threshold < 1
    assert not point.no_mask_means_normal
    assert point.uncertainty.class_entropy
    assert not point.uncertainty.mask_disagreement


def test_what_was_asked_for_stands_in_the_operating_point():
    point = calibrate(six(), classes=CLASSES, aim=AIM, model=MODEL).operating
    assert (point.no_mask_means_normal, point.mirror, point.scales) == (True, False, (0.9,))
    two = calibrate(
        val(np.ones((4, 6, 6)), [0, 0, 1, 1]),
        classes=("benign", "malignant"),
        aim=AIM,
        model=MODEL,
    ).operating
    assert not two.no_mask_means_normal  # there is no such class


def test_the_mask_is_chosen_as_it_is_served_beside_the_decision():
    """A false lesion on a normal costs nothing where the decision takes it away anyway."""
    masks = np.zeros((40, 10, 10))
    masks[:20, :5, :5] = 1
    prob = masks.astype(np.float32)
    prob[20:, :8, :8] = 0.6
    sure = np.eye(3, dtype=np.float32)[[0] * 10 + [1] * 10 + [2] * 20] * 9
    seen = val(masks, [0] * 10 + [1] * 10 + [2] * 20, mask_prob=prob, class_logits=sure)
    rule = calibrate(seen, classes=CLASSES, aim=AIM, model=MODEL)
    assert rule.curve.chosen.normal_fp_rate == 0
    assert rule.operating.mask_threshold == 0.5
    aim = AIM.model_copy(update={"normal_means_no_mask": False})
    bare = calibrate(seen, classes=CLASSES, aim=aim, model=MODEL)
    assert bare.curve.points[0].normal_fp_rate == 1
    assert bare.operating.mask_threshold == pytest.approx(0.65)  # nearest to 0.5 of those above 0.6


def test_who_is_referred_follows_the_errors():
    """Of 40 images 20 are unsure and half of those wrong; with nothing wrong nobody is referred."""
    masks = np.zeros((40, 8, 8))
    masks[:, :4, :4] = 1
    logits = np.zeros((40, 3), np.float32)
    logits[:20, 0] = 9
    logits[20:, 0] = np.linspace(0.2, 0.5, 20)
    labels = [0] * 20 + [0, 1] * 10
    point = calibrate(
        val(masks, labels, class_logits=logits), classes=CLASSES, aim=AIM, model=MODEL
    ).operating
    assert point.uncertainty.refer_above is not None
    labels = [0] * 20 + [1] * 20
    logits[20:, 1] = 0.6
    right = val(masks, labels, class_logits=logits)
    assert (
        calibrate(right, classes=CLASSES, aim=AIM, model=MODEL).operating.uncertainty.refer_above
        is None
    )
