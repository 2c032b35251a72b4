"""What the charts are made of: the ROC's corners, the confusion matrix, the curves."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from pipelines.artifacts.evaluation import CoveragePoint
from pipelines.report import figures
from tests.made_up import CASES, CLASSES, case, certainty, figure

TEST = [c for c in CASES if c.split == "test"]


def test_confusion_agrees_with_scikit_learn():
    reference = confusion_matrix(
        [c.label for c in TEST], [c.predicted for c in TEST], labels=CLASSES
    )
    assert figures.confusion(TEST, CLASSES) == tuple(map(tuple, reference.tolist()))


def test_roc_passes_through_the_corners_of_scikit_learns():
    scores = (0.9, 0.7, 0.7, 0.4, 0.2, 0.2)
    labels = ("malignant", "benign", "malignant", "malignant", "benign", "normal")
    cases = [
        case(f"{label}/{i}.png", probs={"benign": 1 - s, "malignant": s, "normal": 0.0})
        for i, (label, s) in enumerate(zip(labels, scores, strict=True))
    ]
    fpr, tpr, _ = roc_curve(
        [label == "malignant" for label in labels], scores, drop_intermediate=False
    )
    assert np.array(figures.roc_corners(cases)) == pytest.approx(np.column_stack([fpr, tpr]))


def test_training_plots_draw_what_was_recorded_and_no_more():
    curves = [{"epoch": 1.0, "val_accuracy": 0.5}, {"epoch": 2.0}, {"epoch": 3.0, "other": 1.0}]
    found = figures.training_plots(curves)
    assert [plot.title for plot in found] == ["Accuracy on val"]
    assert found[0].caption == "At the end: val 0.5."


def test_each_network_of_an_ensemble_has_its_own_line():
    curves = [{"epoch": e, "val_accuracy": 0.1 * e} for e in (1.0, 2.0, 3.0, 4.0)]
    alone, both = figures.training_plots(curves), figures.training_plots(curves, 2)
    assert alone[0].svg.count("<polyline") == both[0].svg.count("<polyline") - 1
    assert both[0].caption.startswith("2 networks, one after the other")


@pytest.mark.parametrize("epochs", [[1.0], [1.0, 2.0]])
def test_training_plots_of_a_short_training(epochs):
    assert len(figures.training_plots([{"epoch": e, "train_loss": e} for e in epochs])) == 1


def test_without_malignant_images_there_is_no_roc():
    titles = [plot.title for plot in figures.class_plots([case("benign/a.png", tp=1)])]
    assert titles == ["Reliability"]


def test_lesion_plots_leave_images_without_lesion_out_and_count_the_missed():
    sizes, spread = figures.lesion_plots(TEST, coarse=True)
    assert sizes.svg.count('<circle class="dot c1" cx=') == 3 + 1  # benign, and its legend
    assert sizes.caption == "5 lesions, 1 of them missed completely (Dice 0)."
    assert "fine net 0.800" in spread.caption
    assert figures.lesion_plots([case("normal/a.png", fp=3)], coarse=True) == ()


def test_evidence_is_drawn_against_chance_and_those_not_above_it_counted():
    told = [
        case(f"benign/{i}.png", tp=9, evidence_inside=inside, evidence_chance=0.1)
        for i, inside in enumerate((0.5, 0.1, 0.05))
    ]
    (plot,) = figures.evidence_plots([*told, case("normal/n.png")])
    assert plot.caption.startswith("3 lesions; in 2 of them no more evidence")
    assert "benign/" not in plot.svg
    assert "0: 50 % inside, 10 % by chance" in plot.svg
    assert figures.evidence_plots([case("normal/n.png")]) == ()


def test_coverage_without_a_known_figure_is_not_drawn():
    point = CoveragePoint(share=1.0, figures={"ece": figure(0.1)})
    odd = certainty().model_copy(update={"points": (point,)})
    assert figures.coverage_plots(odd) == figures.coverage_plots(None) == ()
    assert figures.mask_plots(None) == ()


def test_without_a_coarse_net_its_dice_is_not_drawn():
    spread = figures.lesion_plots(TEST, coarse=False)[1]
    assert spread.caption == "Median Dice: fine net 0.800."
    assert "coarse" not in spread.svg


def test_a_name_in_a_tooltip_is_escaped():
    assert "&lt;i&gt;: Dice" in figures.lesion_plots(TEST, coarse=True)[0].svg
