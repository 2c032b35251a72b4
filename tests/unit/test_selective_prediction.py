"""Coverage and the consistency rules, from rows of per_image.csv alone."""

import io

import numpy as np
import pandas as pd
import pytest
from small_store import CLASSES, entry, params

from hgmnet.config.model import Model
from hgmnet.evaluation.consistency_rules import RULES, served
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns, image_row
from hgmnet.evaluation.selective_prediction import (
    AT_RANDOM,
    FIGURES,
    SHARES,
    coverage,
    errors,
    most_confident,
    risk_areas,
)
from hgmnet.inference.postprocess import Prediction

MODEL = params().model
ALONE = {"coarse": False, "gate": "none"}


def learning(**changes) -> Model:
    return Model.model_validate(MODEL.model_dump() | changes)


def row(label: str, tp: int, fp: int, fn: int, *, model: Model = MODEL, **changes):
    """An image of 10 x 10, found as the pixels say; `changes` to the finding."""
    truth, said = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    truth.flat[: tp + fn] = True
    said.flat[fn : fn + tp + fp] = True
    told = {"predicted": label, "decided": label, "decision": label, "mask": said, "large": True}
    told |= {"lesion_area": 0, "box": None, "class_entropy": 0.2, "mask_disagreement": 0.1}
    told |= {"uncertainty": 0.5, "refer": False, "raw_mask": said, "coarse_mask": said}
    finding = Prediction(**(told | {"probs": dict.fromkeys(CLASSES, 1 / 3)} | changes))
    return image_row(entry(f"{label}{tp} {fp} {fn}", label=label), finding, truth, model)


EMPTY = np.zeros((10, 10), bool)


def ten(**changes) -> pd.DataFrame:
    """Five lesions found whole, five found by half and taken for normal: these are less sure."""
    good = [row("benign", 10 + i, 0, 0, uncertainty=i / 10, **changes) for i in range(5)]
    bad = [
        row("malignant", 5, 5 + i, 5, uncertainty=0.5 + i / 10, predicted="normal", **changes)
        for i in range(5)
    ]
    return pd.DataFrame(bad + good)


def test_the_whole_is_the_full_figures_and_no_image_is_lost():
    table = ten()
    found = coverage(table, CLASSES, 100, 0, model=MODEL)
    assert tuple(found) == SHARES
    assert found[1.0] == figures(table, CLASSES, 100, 0, model=MODEL, only=FIGURES)
    assert [found[share]["accuracy"].n for share in SHARES] == [10, 9, 8, 7, 6, 5]
    assert found[1.0]["accuracy"].value == 0.5
    assert found[0.5]["accuracy"].value == 1
    assert found[0.5]["lesion_dice"].value == 1


@pytest.mark.parametrize("share", SHARES)
def test_the_surest_stay_and_each_larger_share_holds_the_smaller(share):
    table = pd.DataFrame([row("benign", i + 1, 0, 0, uncertainty=(i % 3) / 3) for i in range(13)])
    kept = most_confident(table, share)
    left = table.drop(kept.index)
    assert len(kept) == int(np.ceil(share * 13))
    assert kept["uncertainty"].max() <= (left["uncertainty"].min() if len(left) else 1)
    assert set(most_confident(table, 0.5)["image"]) <= set(kept["image"])
    turned = most_confident(table[::-1].reset_index(drop=True), share)
    assert set(turned["image"]) == set(kept["image"])  # whatever order they come in


def test_an_error_is_half_the_class_and_half_the_mask():
    table = pd.DataFrame(
        [
            row("benign", 10, 0, 0),
            row("malignant", 5, 5, 5),
            row("malignant", 0, 0, 8, predicted="benign"),
            row("normal", 0, 3, 0, mask=EMPTY),
            row("normal", 0, 3, 0, predicted="benign"),
        ]
    )
    assert errors(table, MODEL).tolist() == [0, 0.25, 1, 0, 1]
    assert errors(table, learning(tasks="segmentation")).tolist() == [0, 0.5, 1, 0, 1]
    alone = learning(tasks="classification", **ALONE)
    assert errors(table, alone).tolist() == [0, 0, 1, 0, 1]


def test_risk_areas_are_of_what_the_model_tells():
    areas = risk_areas(ten(), MODEL)
    assert areas["uncertainty"] < areas[AT_RANDOM] == pytest.approx(errors(ten(), MODEL).mean())
    assert areas["class_entropy"] == pytest.approx(areas[AT_RANDOM])  # the same of every image
    masks = learning(tasks="segmentation")
    assert set(risk_areas(ten(model=masks), masks)) == {
        *("uncertainty", "mask_disagreement", AT_RANDOM)
    }


def rows() -> pd.DataFrame:
    """A normal with a false lesion, a speck on a benign one, a malignant one missed, one found."""
    return pd.DataFrame(
        [
            row("normal", 0, 9, 0),
            row("benign", 1, 0, 9, large=False),
            row("malignant", 0, 0, 8),
            row("benign", 10, 0, 0, decided="normal"),
        ]
    )


def test_the_rules_by_hand():
    expected = {
        (False, False): ([9, 0, 0, 10], ["normal", "benign", "malignant", "normal"]),
        (False, True): ([9, 0, 0, 10], ["normal", "normal", "malignant", "normal"]),
        (True, False): ([0, 0, 0, 0], ["normal", "benign", "malignant", "normal"]),
        (True, True): ([0, 0, 0, 0], ["normal", "normal", "malignant", "normal"]),
    }
    assert set(expected) == set(RULES)
    for (first, second), (pixels, decisions) in expected.items():
        found = served(rows(), normal_means_no_mask=first, no_mask_means_normal=second)
        assert (found["served_tp"] + found["served_fp"]).tolist() == pixels
        assert found["decision"].tolist() == decisions
        for name in ("tp", "fp", "fn", "tn"):
            assert (found[f"served_{name}"] >= 0).all()
        total = found[[f"served_{name}" for name in ("tp", "fp", "fn", "tn")]].sum(axis=1)
        assert (total == 100).all()
        assert (found["served_tp"] + found["served_fn"] == found["tp"] + found["fn"]).all()


def test_the_file_says_as_much_as_the_table():
    text = rows().to_csv(index=False, columns=columns(CLASSES))
    read = pd.read_csv(io.StringIO(text))
    on = {"normal_means_no_mask": True, "no_mask_means_normal": True}
    assert served(read, **on)["decision"].tolist() == served(rows(), **on)["decision"].tolist()
