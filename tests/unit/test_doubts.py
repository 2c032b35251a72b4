"""What stands beside a verdict: every doubt that the evidence gives, and none that it does not."""

from dataclasses import replace

import pytest
from made_up import check, drift, evidence, figure, provenance, verdict

from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.gate import ClauseResult
from pipelines.artifacts.test_evaluations import EvaluationNumber
from pipelines.report.doubts import doubts


def certain(**figures: float):
    """Evidence of a passed gate that leaves no doubt but for those of `figures`."""
    made = evidence(provenance=provenance(patients=9), drift=drift("phantom"))
    wide = {
        name: Figure(value=value, low=value - 0.01, high=value + 0.01, n=90, groups=80)
        for name, value in ({"lesion_dice": 0.9, "accuracy": 0.95} | figures).items()
    }
    run = made.provenance.run.model_copy(update={"git_dirty": False, "git_commit": "c0ffee"})
    facts = replace(made.provenance, run=run)
    evaluation = made.evaluation.model_copy(update={"test": wide})
    return replace(made, evaluation=evaluation, provenance=facts)


def test_without_a_reason_there_is_no_doubt():
    assert doubts(certain()) == ()


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        (0.735, "Accuracy 0.735 (0.725 to 0.745) is not clearly better than the baseline"),
        (0.72, "Accuracy 0.720 (0.710 to 0.730) is not better than the baseline"),
        (0.75, None),
    ],
)
def test_a_baseline_that_is_not_beaten(accuracy, said):
    found = [line for line in doubts(certain(accuracy=accuracy)) if "baseline" in line]
    assert [line.startswith(said) for line in found] == ([True] if said else [])


def test_few_images_and_an_interval_beyond_the_bound():
    made = certain()
    small = made.figures | {"lesion_dice": figure(0.9)}  # 7 images in 6 groups, .84 to .95
    made = replace(made, evaluation=made.evaluation.model_copy(update={"test": small}))
    gate = verdict("passed", (check("lesion_dice", 0.88, 0.9), check("accuracy", 0.9, 0.95)))
    assert doubts(replace(made, gate=gate)) == (
        "Fewer than 30 images or groups: Lesion Dice (7 images, 6 groups).",
        "Lesion Dice 0.900 (0.840 to 0.950) may be below its bound, 0.88.",
    )


def test_a_split_used_twice_a_dirty_tree_and_a_clause_that_nobody_judged():
    made = certain()
    run = made.provenance.run.model_copy(update={"git_dirty": True})
    unjudged = ClauseResult(clause="revalidate.new_values_in", status="not judged", reason="x")
    due = ClauseResult(clause="revalidate.months", status="due", reason="it is 13 months old")
    made = replace(
        made,
        opening=EvaluationNumber(test_sha="7e57" * 16, number=3),
        provenance=replace(made.provenance, run=run, shared=2),
        gate=made.gate.model_copy(update={"plan": (unjudged, due)}),
        drift=drift("phantom", "brightness", beyond=("brightness",)),
    )
    said = " ".join(doubts(made))
    for words in (
        "3rd evaluation",
        "uncommitted changes",
        "2 patients with images in two splits",
        "1 clause of the change plan not judged: revalidate.new_values_in",
        "it is 13 months old",
        "differs from the training images in 1 of 1 features: brightness",
    ):
        assert words in said
