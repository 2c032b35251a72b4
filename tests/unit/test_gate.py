import pytest
from made_up import figure

from hgmnet.config import Check, Gate
from hgmnet.errors import ConfigError
from pipelines.artifacts import Evaluation, GateResult
from pipelines.stages import gate as stage


def judge(of: Evaluation, checks: Gate) -> GateResult:
    return stage.judge(of, checks, ("benign", "malignant", "normal"))


def evaluation(test: dict[str, float | None] | None) -> Evaluation:
    known = {"lesion_dice": 0.5, "accuracy": 0.5, "normal_fp_rate": 0.5}
    return Evaluation(
        data="phantom",
        test_sha="t",
        val={name: figure(value) for name, value in known.items()},
        test=None if test is None else {name: figure(value) for name, value in test.items()},
        baselines={},
    )


def gate(*checks: tuple[str, float, str]) -> Gate:
    return Gate(checks=tuple(Check(metric=m, bound=b, on=on) for m, b, on in checks))


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
    result = judge(evaluation({metric: value}), gate((metric, bound, on)))
    assert result.status == ("passed" if passed else "failed")
    assert result.checks[0].passed is passed


def test_a_figure_that_is_missing_fails():
    result = judge(evaluation({}), gate(("accuracy", 0.1, "point")))
    assert result.status == "failed"
    assert result.checks[0].reason == "missing"


def test_a_figure_that_the_model_does_not_have_fails_whatever_the_bound():
    both = evaluation({"lesion_dice": 0.5})
    both = both.model_copy(update={"val": {"lesion_dice": both.val["lesion_dice"]}})
    result = judge(both, gate(("lesion_dice", 0.1, "point"), ("accuracy", 0.0, "conservative")))
    assert result.status == "failed"
    assert [(check.passed, check.reason) for check in result.checks[1:]] == [(False, "missing")]
    assert result.checks[0].passed


def test_a_figure_that_is_there_without_a_value_could_not_be_computed():
    result = judge(evaluation({"accuracy": None}), gate(("accuracy", 0.1, "point")))
    assert result.checks[0].reason == "accuracy could not be computed"


def test_every_check_is_listed_not_only_the_first_that_failed():
    checks = gate(
        ("lesion_dice", 0.9, "point"), ("accuracy", 0.1, "point"), ("accuracy", 0.9, "point")
    )
    result = judge(evaluation({"lesion_dice": 0.5, "accuracy": 0.5}), checks)
    assert [check.passed for check in result.checks] == [False, True, False]
    assert result.status == "failed"


def test_without_an_opened_test_split_nothing_is_judged():
    result = judge(evaluation(None), gate(("lesion_dice", 0.1, "point")))
    assert result.status == "not judged"
    assert not result.checks[0].passed


@pytest.mark.parametrize("name", ["dise", "sensitivity_cyst"])
def test_an_unknown_metric_is_a_mistake_in_params(name):
    with pytest.raises(ConfigError, match=rf"there is no metric `{name}`; there are: accuracy"):
        judge(evaluation(None), gate((name, 0.1, "point")))
