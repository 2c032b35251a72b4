"""The gate's judgement, check by check."""

import pytest
from made_up import figure

from hgmnet.config.evaluation import Check, Where
from hgmnet.errors import ConfigError
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.gate import CheckResult, ClauseResult
from pipelines.gate.checks import Figures, evaluate_check, validate_checks, verdict

CLASSES = ("benign", "malignant", "normal")


def check(metric: str, bound: float, on: str = "point", where="all", min_n: int = 1) -> Check:
    return Check(metric=metric, bound=bound, on=on, where=where, min_n=min_n)


def small(column: str = "lesion_size", value: str = "small") -> Where:
    return Where(column=column, value=value)


def figures(test: dict[str, float | None] | None, **small_lesions: Figure) -> Figures:
    groups = [
        Subgroup(column="lesion_size", value="large", figures={}),
        Subgroup(column="lesion_size", value="small", figures=small_lesions),
    ]
    known = None if test is None else {name: figure(value) for name, value in test.items()}
    return Figures(known, groups)


@pytest.mark.parametrize(
    ("metric", "value", "bound", "on", "passed"),
    [
        ("lesion_dice", 0.70, 0.70, "point", True),
        ("lesion_dice", 0.69, 0.70, "point", False),
        ("lesion_dice", 0.75, 0.70, "conservative", False),  # its lower end is .69
        ("lesion_dice", 0.77, 0.70, "conservative", True),
        ("normal_fp_rate", 0.30, 0.30, "point", True),
        ("normal_fp_rate", 0.31, 0.30, "point", False),
        ("normal_fp_rate", 0.27, 0.30, "conservative", False),  # its upper end is .32
        ("normal_fp_rate", 0.24, 0.30, "conservative", True),
        ("accuracy", None, 0.10, "point", False),
        ("accuracy", None, 0.10, "conservative", False),
    ],
)
def test_one_check(metric, value, bound, on, passed):
    result = evaluate_check(check(metric, bound, on), figures({metric: value}))
    assert result.passed is passed
    assert (result.metric, result.on, result.bound, result.where) == (metric, on, bound, None)
    assert result.n == 7


@pytest.mark.parametrize(
    ("asked", "known", "reason"),
    [
        (check("accuracy", 0.0), {}, "missing"),
        (check("accuracy", 0.0), {"accuracy": None}, "accuracy could not be computed"),
        (check("accuracy", 0.0, min_n=8), {"accuracy": 0.9}, "7 images are too few, 8 are needed"),
        (check("accuracy", 0.0), None, "the test split was not evaluated"),
        (check("accuracy", 0.0, where=small(), min_n=30), None, "the test split was not evaluated"),
    ],
)
def test_what_can_not_be_judged_fails_whatever_the_bound_and_says_why(asked, known, reason):
    result = evaluate_check(asked, figures(known))
    assert (result.passed, result.reason, result.judged) == (False, reason, False)


def test_a_value_that_is_not_a_number_fails():
    broken = Figure.model_construct(value=float("nan"), low=0.1, high=0.2, n=9, groups=9)
    for asked in (check("accuracy", 0.0), check("ece", 1.0)):
        result = evaluate_check(asked, Figures({"accuracy": broken, "ece": broken}, ()))
        assert (result.passed, result.value) == (False, None)


def test_a_subgroup_is_judged_by_its_own_figure_and_its_own_number():
    enough = Figure(value=0.55, low=0.50, high=0.60, n=30, groups=30)
    known = figures({"lesion_dice": 0.9}, lesion_dice=enough)
    asked = check("lesion_dice", 0.55, where=small(), min_n=30)
    result = evaluate_check(asked, known)
    assert (result.passed, result.value, result.n, result.where) == (True, 0.55, 30, small())
    assert not evaluate_check(asked.model_copy(update={"bound": 0.56}), known).passed
    few = enough.model_copy(update={"n": 29})
    result = evaluate_check(asked, figures({"lesion_dice": 0.9}, lesion_dice=few))
    assert (result.passed, result.reason) == (False, "29 images are too few, 30 are needed")


def test_a_subgroup_without_an_image_fails_and_says_which_there_are():
    asked = check("lesion_dice", 0.0, where=small(value="tiny"), min_n=30)
    result = evaluate_check(asked, figures({"lesion_dice": 0.9}))
    assert result.reason == "no test image has lesion_size `tiny`; found: large, small"
    assert not result.passed


@pytest.mark.parametrize(
    ("on", "majority", "passed", "reason"),
    [
        ("point", 0.69, True, "0.7 > 0.69, the baseline majority"),
        ("point", 0.70, False, "0.7 ≤ 0.7, the baseline majority"),
        ("conservative", 0.65, False, "0.64 ≤ 0.65, the baseline majority"),
        ("conservative", 0.63, True, "0.64 > 0.63, the baseline majority"),
    ],
)
def test_a_baseline_must_be_exceeded(on, majority, passed, reason):
    asked = Check(metric="accuracy", above="majority", on=on, where="all", min_n=1)
    known = {"accuracy": figure(0.7)}
    result = evaluate_check(asked, Figures(known, (), {"majority_accuracy": figure(majority)}))
    assert (result.passed, result.reason, result.bound) == (passed, reason, majority)
    assert result.above == "majority"


def test_a_baseline_that_was_not_measured_fails():
    asked = Check(metric="accuracy", above="image_size", on="point", where="all", min_n=1)
    assert not evaluate_check(asked, Figures({"accuracy": figure(0.7)}, ())).passed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bound": 0.7}, "expected either `bound`, a number, or `above`, a baseline"),
        ({"above": None}, "expected either `bound`, a number, or `above`, a baseline"),
        ({"where": small(), "min_n": 30}, "the baselines are of all images"),
        ({"metric": "lesion_dice"}, "majority is a baseline of accuracy, not of lesion_dice"),
    ],
)
def test_a_check_has_a_bound_or_a_baseline(changes, message):
    facts = {"metric": "accuracy", "above": "majority", "on": "point", "where": "all", "min_n": 1}
    with pytest.raises(ValueError, match=message):
        Check(**facts | changes)


def result(passed: bool) -> CheckResult:
    known = {"accuracy": 0.5}
    return evaluate_check(check("accuracy", 0.5 if passed else 0.6), figures(known))


def clause(status: str) -> ClauseResult:
    return ClauseResult(clause="fixed.classes", status=status, reason="made up")


@pytest.mark.parametrize(
    ("checks", "plan", "status"),
    [
        ([True, True], ["held", "held"], "passed"),
        ([True, False], ["held", "held"], "failed"),
        ([False, True], ["held", "held"], "failed"),
        ([True, True], ["held", "breached"], "failed"),
        ([True, True], ["due", "held"], "passed"),
    ],
)
def test_all_must_hold_and_a_validation_that_is_due_is_no_breach(checks, plan, status):
    assert verdict(figures({}), list(map(result, checks)), list(map(clause, plan))) == status


def test_without_an_opened_test_split_nothing_is_judged():
    assert verdict(figures(None), [result(False)], [clause("breached")]) == "not judged"


@pytest.mark.parametrize("name", ["dise", "sensitivity_cyst"])
def test_an_unknown_metric_is_a_mistake_in_params(name):
    with pytest.raises(ConfigError, match=rf"^here: there is no metric `{name}`.* one of: accu"):
        validate_checks([check(name, 0.1)], figures(None), CLASSES, "here")


def test_an_unknown_column_is_a_mistake_in_params():
    asked = [check("accuracy", 0.1, where=small("lesionsize"), min_n=30)]
    with pytest.raises(ConfigError, match=r"no subgroups by `lesionsize`.* one of: lesion_size "):
        validate_checks(asked, figures({}), CLASSES, "here")
    validate_checks(asked, figures(None), CLASSES, "here")  # val may lack what test has


def test_a_metric_that_is_not_told_by_subgroup_is_a_mistake_in_params():
    asked = [check("ece", 0.1, where=small(), min_n=30)]
    with pytest.raises(ConfigError, match=r"`ece` is not computed .* one of: lesion_dice"):
        validate_checks(asked, figures({}), CLASSES, "here")
