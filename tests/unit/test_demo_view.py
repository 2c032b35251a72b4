"""What the page says of a finding: each rule that changes a decision or a mask is told."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hgmnet.data.reader import DecodedFile
from hgmnet.inference.postprocess import Prediction
from hgmnet.models.spec import Operating, Uncertainty
from hgmnet.serving.demo import view
from hgmnet.serving.demo.samples import samples

MASK = np.zeros((10, 20), dtype=np.bool_)
MASK[2:6, 5:10] = True  # 20 of 200 px
NONE = np.zeros_like(MASK)
SURE = Prediction(
    probs={"benign": 0.7, "malignant": 0.2, "normal": 0.1},
    predicted="benign",
    decided="benign",
    decision="benign",
    mask=MASK,
    raw_mask=MASK,
    coarse_mask=MASK,
    large=True,
    lesion_area=20,
    box=(5, 2, 10, 6),
    class_entropy=0.25,
    mask_disagreement=0.125,
    uncertainty=0.5,
    refer=False,
)
BOTH = SimpleNamespace(segments=True, classifies=True)
OPERATING = Operating(
    temperature=1.0,
    mask_threshold=0.5,
    min_area=0.02,
    malignant_threshold=0.15,
    normal_means_no_mask=True,
    mirror=True,
    uncertainty=Uncertainty(class_entropy=(0.0, 1.0), refer_above=0.9),
)


def predictor(*, segments=True, data="busi", **operating):
    spec = SimpleNamespace(model=SimpleNamespace(segments=segments), data=data)
    return SimpleNamespace(operating=OPERATING.model_copy(update=operating), spec=spec)


def test_the_headline_is_the_decision_with_its_own_probability():
    assert view.headline(SURE) == "benign, probability 0.700"
    assert view.headline(replace(SURE, decision="malignant")) == "malignant, probability 0.200"
    assert "no class" in view.headline(replace(SURE, decision="unclassified"))


def test_referral_is_said_with_the_number_and_its_bound():
    assert view.refer(SURE, OPERATING) == ""
    said = view.refer(replace(SURE, refer=True, uncertainty=0.95), OPERATING)
    assert said.startswith("Refer: a reader should review it.")
    assert "0.950" in said
    assert "0.900" in said


def test_bars_mark_the_malignant_threshold_and_the_bound_of_referral():
    bars = {bar.name: bar for bar in view.bars(SURE, predictor())}
    assert list(bars) == ["benign", "malignant", "normal", "uncertainty"]
    assert [bar.mark for bar in bars.values()] == [None, 0.15, None, 0.9]
    assert "from 0.150 on" in bars["malignant"].note


def test_a_model_without_val_levels_or_without_classes_shows_no_bar_of_them():
    bars = view.bars(SURE, predictor(uncertainty=Uncertainty()))
    assert [bar.name for bar in bars] == ["benign", "malignant", "normal"]
    without = replace(SURE, decision="unclassified")
    assert [bar.name for bar in view.bars(without, predictor())] == ["uncertainty"]


def test_area_is_told_in_square_millimetres_where_the_spacing_is_known():
    grey = np.zeros(MASK.shape, np.uint8)
    shown = dict(view.facts(SURE, decoded(grey, 0.5), BOTH, None, 1.0))
    assert shown["Lesion area"] == "20 px, 10.0 % of the image, 5.0 mm²"
    assert shown["Box"] == "5 × 4 px, from (5, 2)"
    assert shown["Lesion size"] == "6 × 6 px, 3.2 × 3.1 mm: longest diameter, and across it"
    assert shown["Image"] == "20 × 10 px, 0.5 mm per pixel"
    assert "mm" not in str(view.facts(SURE, decoded(grey, 0.0), BOTH, None, 1.0))
    bare = dict(
        view.facts(replace(SURE, lesion_area=0, box=None), decoded(grey, 0.5), BOTH, None, 1.0)
    )
    assert bare["Lesion area"] == "no lesion outlined"
    assert "Box" not in bare


def test_dice_is_told_where_the_truth_is_known_and_not_empty():
    opened = decoded(np.zeros(MASK.shape, np.uint8), 0.0)
    shifted = np.roll(MASK, 1, axis=0)  # 15 of 20 px shared
    assert dict(view.facts(SURE, opened, BOTH, shifted, 1.0))["Dice with the true mask"] == "0.750"
    for truth in (NONE, None):
        assert "Dice" not in str(view.facts(SURE, opened, BOTH, truth, 1.0))


def test_a_model_is_told_of_by_what_it_learnt():
    opened = decoded(np.zeros(MASK.shape, np.uint8), 0.0)
    masks, classes = (
        dict(view.facts(SURE, opened, SimpleNamespace(segments=s, classifies=not s), MASK, 1.0))
        for s in (True, False)
    )
    assert set(masks) - set(classes) == {
        *("Lesion area", "Lesion size", "Box", "Dice with the true mask", "Mask disagreement")
    }
    assert set(classes) - set(masks) == {"Class entropy"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decided": "malignant", "decision": "malignant"}, "most probable class is benign"),
        ({"decision": "normal", "mask": NONE, "raw_mask": NONE}, "no lesion is left"),
        ({"mask": NONE, "large": False}, "A mask of 20 px was removed: below 4 px, 2.00 %"),
        ({"decided": "normal", "decision": "normal", "mask": NONE}, "since the decision is normal"),
        (
            {"predicted": "malignant", "decided": "malignant", "decision": "malignant"}
            | {"mask": NONE, "raw_mask": NONE},
            "though no lesion is outlined",
        ),
    ],
)
def test_each_rule_that_changed_something_is_told_alone(changes, told):
    (said,) = view.notes(replace(SURE, **changes), predictor(), None)
    assert told in said


def test_a_plain_finding_needs_no_note():
    assert tuple(view.notes(SURE, predictor(), None)) == ()
    assert "no mask" in next(view.notes(SURE, predictor(segments=False), None))


def test_a_synthetic_image_is_called_synthetic_whatever_the_model_learnt_from():
    sample = samples()["malignant-2"]
    assert "Synthetic: drawn by this program as malignant" in next(
        view.notes(SURE, predictor(data="phantom"), sample)
    )
    assert "trained on busi" in [*view.notes(SURE, predictor(), sample)][1]


def test_samples_are_the_same_each_time_and_show_a_lesion_where_they_say_so():
    for sample in samples().values():
        again = samples()[sample.key]
        assert again.png == sample.png
        assert sample.picture.mask.any() == (sample.case.label != "normal")
        assert sample.name.startswith("synthetic")


def decoded(grey: np.ndarray, pixel_mm: float) -> DecodedFile:
    return DecodedFile(np.repeat(grey[..., None], 3, axis=2), pixel_mm)
