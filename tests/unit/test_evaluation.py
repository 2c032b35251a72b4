import numpy as np
import pandas as pd
import pytest
from small_store import CLASSES, entry, small_store

from hgmnet.baselines import baselines
from hgmnet.evaluation import columns, figures, image_row
from hgmnet.inference import Finding


def row(label: str, tp: int, fp: int, fn: int, **changes) -> dict[str, object]:
    mask = np.zeros((10, 10), bool)
    truth, said = mask.copy(), mask.copy()
    truth.flat[: tp + fn] = True
    said.flat[fn : fn + tp + fp] = True
    probs = dict.fromkeys(CLASSES, 0.1) | {changes.get("predicted", label): 0.8}
    finding = Finding(
        probs=probs,
        predicted=str(changes.get("predicted", label)),
        decision=str(changes.get("decision", label)),
        mask=mask if changes.get("taken") else said,
        raw_mask=said,
        coarse_mask=truth,
        lesion_area=0,
        box=None,
    )
    return image_row(entry(f"{label}{tp}{fp}{fn}", label=label), finding, truth)


@pytest.fixture
def found():
    rows = [
        row("benign", 10, 0, 0),
        row("malignant", 5, 5, 5),
        row("malignant", 0, 0, 8, predicted="benign", decision="malignant"),
        row("normal", 0, 3, 0, taken=True),
        row("normal", 0, 0, 0, predicted="benign", decision="malignant"),
    ]
    table = pd.DataFrame(rows)
    assert list(table.columns) == columns(CLASSES)
    return figures(table, CLASSES, draws=100, seed=0)


@pytest.mark.parametrize(
    ("name", "value", "n"),
    [
        ("lesion_dice", (1 + 0.5 + 0) / 3, 3),  # the missed lesion counts as 0
        ("lesion_iou", (1 + 1 / 3 + 0) / 3, 3),
        ("coarse_lesion_dice", 1, 3),
        ("dice_all", (1 + 0.5 + 0 + 1 + 1) / 5, 5),  # as served: empty on empty is 1
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


def test_no_normals_means_no_normal_figures_not_zero():
    table = pd.DataFrame([row("benign", 5, 0, 0), row("malignant", 5, 0, 0)])
    found = figures(table, ("benign", "malignant", "normal"), draws=100, seed=0)
    assert found["normal_fp_rate"].value is None
    assert found["lesion_dice"].value == 1


def test_baselines_know_what_the_area_tells(tmp_path):
    store = small_store(tmp_path, 180)
    found = baselines(store, "test", CLASSES, draws=100, seed=0)
    assert found["majority_accuracy"].value == pytest.approx(1 / 3)
    assert found["area_accuracy"].value == pytest.approx(2 / 3)  # normals have no area
    assert found["size_auroc_malignant"].value == pytest.approx(0.5)  # all of one size
