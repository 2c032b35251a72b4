"""What a person reads at the end of a run."""

import re
from pathlib import Path

import pytest

from hgmnet.config.evaluation import Where
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Evaluation, Subgroup
from pipelines.artifacts.gate import CheckResult, ClauseResult, GateResult
from pipelines.report.console import details, figures_table, opened, rejection
from tests.made_up import check as made_check
from tests.made_up import verdict


def figure(value: float | None) -> Figure:
    ends = (None, None) if value is None else (value - 0.05, value + 0.05)
    return Figure(value=value, low=ends[0], high=ends[1], n=10, groups=9)


def check(metric: str, value: float | None, bound: float, on: str = "point") -> CheckResult:
    passed = value is not None and value >= bound
    return made_check(metric, bound, value, on, passed, reason="is absent")


def gate(*checks: CheckResult) -> GateResult:
    status = "passed" if all(c.passed for c in checks) else "failed"
    return verdict(status, checks)


def evaluation(**figures: float | None) -> Evaluation:
    test = {name: figure(value) for name, value in figures.items()}
    return Evaluation(data="phantom", model="m", test_sha="t", val={}, test=test, baselines={})


def test_the_table_has_every_check_and_every_headline():
    checks = (check("lesion_dice", 0.742, 0.7), check("accuracy", 0.75, 0.7, on="conservative"))
    figures = evaluation(lesion_dice=0.742, accuracy=0.8, served_normal_fp_rate=0.1)
    title, empty, *lines = figures_table(figures, gate(*checks)).splitlines()
    assert (title, empty) == ("phantom, test split: passed", "")
    assert [re.split(r"  +", line) for line in lines] == [
        ["figure", "value", "95 % interval", "bound", "verdict"],
        ["Lesion Dice", "0.742", "0.692 to 0.792", "≥ 0.70", "passed"],
        ["Accuracy", "0.800", "0.750 to 0.850", "≥ 0.70, conservative end", "passed"],
        ["Normals with a false lesion, as served", "0.100", "0.050 to 0.150", "–", "no check"],
    ]
    assert lines[0].index("value") == lines[1].index("0.742") == lines[2].index("0.800")


def test_a_false_positive_rate_has_an_upper_bound():
    table = figures_table(evaluation(), gate(check("served_normal_fp_rate", 0.5, 0.4)))
    assert "≤ 0.40" in table


def test_without_an_opened_test_split_the_figures_are_those_on_val():
    closed = Evaluation(
        data="phantom",
        model="m",
        test_sha="t",
        val={"accuracy": figure(0.8)},
        test=None,
        baselines={},
    )
    asked = check("accuracy", None, 0.7)
    table = figures_table(closed, verdict("not judged", (asked,)))
    assert table.startswith("phantom, val split: not judged\n")
    assert re.search("0.800 .* not judged", table)
    assert "failed" not in table


def test_a_figure_that_could_not_be_computed_is_a_dash():
    table = figures_table(evaluation(lesion_dice=None), gate(check("lesion_dice", None, 0.7)))
    assert re.split(r"  +", table.splitlines()[-1]) == ["Lesion Dice", "–", "–", "≥ 0.70", "failed"]


def test_details_are_aligned():
    assert details([("model", "a"), ("report", "b")]) == "model   a\nreport  b"


def test_a_rejection_names_every_failed_check_and_no_other():
    failed = gate(
        check("lesion_dice", 0.61, 0.65),
        check("accuracy", 0.9, 0.8),
        check("auroc_malignant", None, 0.8),
        check("macro_f1", 0.5, 0.6, on="conservative"),
    )
    assert rejection(failed, "run1", Path("reports/html/index.html")) == (
        "Rejected, not an error: lesion Dice 0.610 < 0.65, "
        "AUROC, malignant against the rest could not be computed, "
        "macro F1 (conservative end) 0.500 < 0.60; "
        "recorded as run run1; report at reports/html/index.html"
    )


def test_a_rate_that_is_too_high_is_above_its_bound():
    failed = made_check("served_normal_fp_rate", 0.4, 0.5, passed=False)
    assert "0.500 > 0.40;" in rejection(gate(failed), "run", Path("r"))


def test_a_figure_that_the_model_does_not_have_is_told_so():
    absent = made_check("accuracy", 0.4, None, passed=False, n=None, reason="missing")
    said = rejection(gate(absent), "run", Path("r"))
    assert "accuracy is missing: the model does not predict it;" in said


@pytest.mark.parametrize(
    ("value", "bound", "said"),
    [(0.6496, 0.65, "0.6496 < 0.65"), (0.74, 0.7431, "0.740 < 0.7431")],
)
def test_a_near_miss_is_seen(value: float, bound: float, said: str):
    assert said in rejection(gate(check("lesion_dice", value, bound)), "run", Path("r"))


SMALL_LESIONS = Where(column="lesion_size", value="small")


def test_a_check_of_a_subgroup_says_so_and_shows_the_subgroups_interval():
    of = made_check("lesion_dice", 0.5, 0.61, where=SMALL_LESIONS)
    part = Subgroup(column="lesion_size", value="small", figures={"lesion_dice": figure(0.61)})
    lines = figures_table(evaluation(lesion_dice=0.8), gate(of), (part,)).splitlines()
    assert [re.split(r"  +", line) for line in lines[3:]] == [
        ["Lesion Dice, lesion size small", "0.610", "0.560 to 0.660", "≥ 0.50", "passed"],
        ["Lesion Dice", "0.800", "0.750 to 0.850", "–", "no check"],
    ]


def test_a_rejection_tells_too_few_images_from_a_bad_figure():
    few = made_check(
        "lesion_dice", 0.5, 0.9, passed=False, where=SMALL_LESIONS, n=12, min_n=30, reason="few"
    )
    said = rejection(gate(few), "run", Path("r"))
    assert "lesion Dice, lesion size small rests on 12 images, 30 are needed;" in said


def test_a_rejection_names_the_clause_that_the_model_is_outside_of():
    clause = ClauseResult(
        clause="fixed.classes", status="breached", reason="it tells a; planned: b"
    )
    held = ClauseResult(clause="fixed.tasks", status="held", reason="it learns joint")
    outside = verdict("failed", (made_check("accuracy", 0.4, 0.5),), plan=(held, clause))
    assert rejection(outside, "run1", Path("r")) == (
        "Rejected, not an error: outside pccp.yaml, clause fixed.classes: it tells a; planned: b; "
        "recorded as run run1; report at r"
    )


@pytest.mark.parametrize(
    ("number", "openings", "said"),
    [
        (1, 1, "1st evaluation on this test split; evaluated 1 time so far"),
        (2, 3, "2nd evaluation on this test split; evaluated 3 times so far"),
        (11, 11, "11th evaluation on this test split; evaluated 11 times so far"),
        (23, 30, "23rd evaluation on this test split; evaluated 30 times so far"),
        (None, 0, "evaluated 0 times so far, not for this model"),
    ],
)
def test_which_opening_it_was_is_said_in_words(number: int | None, openings: int, said: str):
    assert opened(number, openings) == said
