import numpy as np
import pandas as pd
import pytest
from small_store import CLASSES, entry, params, small_store

from hgmnet.config.model import Model
from hgmnet.evaluation.baselines import baselines
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns, image_row
from hgmnet.inference.postprocess import Prediction
from hgmnet.metrics import catalogue

MODEL = params().model
ALONE = {"coarse": False, "gate": "none"}
CLASS_FIGURES = set(catalogue.known(CLASSES)) - {
    *("lesion_dice", "lesion_iou", "coarse_lesion_dice", "served_lesion_dice", "dice_all"),
    *("normal_fp_rate", "served_normal_fp_rate", "pixel_sensitivity", "pixel_precision"),
    *("hd95", "nsd", "area_error", "lesion_sensitivity", "served_lesion_sensitivity"),
    *("false_lesions", "served_false_lesions"),
}


def row(label: str, tp: int, fp: int, fn: int, **changes) -> dict[str, object]:
    mask = np.zeros((10, 10), bool)
    truth, said = mask.copy(), mask.copy()
    truth.flat[: tp + fn] = True
    said.flat[fn : fn + tp + fp] = True
    probs = dict.fromkeys(CLASSES, 0.1) | {changes.get("predicted", label): 0.8}
    finding = Prediction(
        probs=probs,
        predicted=str(changes.get("predicted", label)),
        decided=str(changes.get("decision", label)),
        decision=str(changes.get("decision", label)),
        mask=mask if changes.get("taken") else said,
        raw_mask=said,
        coarse_mask=truth,
        large=True,
        lesion_area=0,
        box=None,
        class_entropy=0.25,
        mask_disagreement=0.125,
        uncertainty=0.5,
        refer=False,
    )
    model = changes.get("model", MODEL)
    return image_row(entry(f"{label}{tp}{fp}{fn}", label=label), finding, truth, model)


def learning(**changes) -> Model:
    return Model.model_validate(MODEL.model_dump() | changes)


def five(model: Model = MODEL) -> pd.DataFrame:
    rows = [
        row("benign", 10, 0, 0, model=model),
        row("malignant", 5, 5, 5, model=model),
        row("malignant", 0, 0, 8, model=model, predicted="benign", decision="malignant"),
        row("normal", 0, 3, 0, model=model, taken=True),
        row("normal", 0, 0, 0, model=model, predicted="benign", decision="malignant"),
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def found():
    table = five()
    assert list(table.columns) == columns(CLASSES)
    return figures(table, CLASSES, draws=100, seed=0, model=MODEL)


@pytest.mark.parametrize(
    ("name", "value", "n"),
    [
        ("lesion_dice", (1 + 0.5 + 0) / 3, 3),  # the missed lesion counts as 0
        ("lesion_iou", (1 + 1 / 3 + 0) / 3, 3),
        ("coarse_lesion_dice", 1, 3),
        ("dice_all", (1 + 0.5 + 0 + 1 + 1) / 5, 5),  # as served: empty on empty is 1
        ("pixel_sensitivity", (1 + 0.5 + 0) / 3, 3),
        ("pixel_precision", (1 + 0.5) / 2, 2),  # where nothing was said there is none
        ("area_error", (0 + 0 + 1) / 3, 3),
        ("lesion_sensitivity", 2 / 3, 3),
        ("false_lesions", 1 / 5, 5),
        ("served_false_lesions", 0, 5),
        ("normal_fp_rate", 1 / 2, 2),
        ("served_normal_fp_rate", 0, 2),
        ("accuracy", 3 / 5, 5),
        ("served_accuracy", 4 / 5, 5),
        ("balanced_accuracy", (1 + 0.5 + 0.5) / 3, 5),
        ("sensitivity_malignant", 1 / 2, 2),
        ("specificity_malignant", 1, 3),
        ("served_sensitivity_malignant", 1, 2),
        ("served_specificity_malignant", 2 / 3, 3),
        ("sensitivity_normal", 1 / 2, 2),
    ],
)
def test_figures_by_hand(found, name, value, n):
    assert found[name].value == pytest.approx(value)
    assert found[name].n == n
    assert found[name].low <= found[name].value <= found[name].high


def test_the_file_is_enough_to_compute_every_figure_again(tmp_path, found):
    path = tmp_path / "per_image.csv"
    five().to_csv(path, index=False, columns=columns(CLASSES))
    again = figures(pd.read_csv(path), CLASSES, draws=100, seed=0, model=MODEL)
    assert again == found


def test_no_normals_means_no_normal_figures_not_zero():
    table = pd.DataFrame([row("benign", 5, 0, 0), row("malignant", 5, 0, 0)])
    found = figures(table, CLASSES, draws=100, seed=0, model=MODEL)
    assert found["normal_fp_rate"].value is None
    assert found["lesion_dice"].value == 1


def test_baselines_know_what_the_area_tells(tmp_path):
    store = small_store(tmp_path, 180)
    found = baselines(store, "test", CLASSES, draws=100, seed=0)
    assert found["majority_accuracy"].value == pytest.approx(1 / 3)
    assert found["area_accuracy"].value == pytest.approx(2 / 3)  # normals have no area
    assert found["size_auroc_malignant"].value == pytest.approx(0.5)  # all of one size


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({}, set()),
        ({"tasks": "segmentation"}, CLASS_FIGURES),
        ({"tasks": "classification", **ALONE}, set(catalogue.known(CLASSES)) - CLASS_FIGURES),
        (ALONE, {"coarse_lesion_dice"}),
    ],
)
def test_there_are_figures_of_what_the_model_learns_and_of_nothing_else(changes, left_out):
    model = learning(**changes)
    whole = figures(five(), CLASSES, draws=100, seed=0, model=MODEL)
    table = five(model)
    found = figures(table, CLASSES, draws=100, seed=0, model=model)
    assert set(whole) - set(found) == left_out
    assert all(found[name] == whole[name] for name in found)
    assert set(table.columns) <= set(columns(CLASSES))


def test_a_row_has_no_counts_and_probabilities_that_the_model_does_not_tell():
    masks = row("benign", 1, 0, 0, model=learning(tasks="segmentation"))
    assert not [name for name in masks if name.startswith("prob_")]
    assert {"tp", "coarse_tp", "served_tp"} < set(masks)
    classes = row("benign", 1, 0, 0, model=learning(tasks="classification", **ALONE))
    assert not [name for name in classes if name.endswith(("tp", "fp", "fn", "tn"))]
    assert classes["prob_benign"] == 0.8
    assert ("class_entropy" in masks, "mask_disagreement" in masks) == (False, True)
    assert ("class_entropy" in classes, "mask_disagreement" in classes) == (True, False)
    for told in (masks, classes):
        assert (told["uncertainty"], told["refer"]) == (0.5, False)


def test_figures_can_be_had_singly():
    found = figures(five(), CLASSES, draws=100, seed=0, model=MODEL, only=("accuracy",))
    assert list(found) == ["accuracy"]
