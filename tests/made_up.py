"""A made-up evaluation for the tests of the report: eight images, figures, a gate, a spec."""

from typing import Literal

from small_store import params

from hgmnet.calibration.mask_threshold import MaskCurve, MaskPoint
from hgmnet.config.data import Prepare
from hgmnet.evaluation.drift import DriftReport, Shift
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.spec import FORMAT, Operating, Seen, Spec
from pipelines.artifacts.evaluation import (
    Certainty,
    Consistency,
    CoveragePoint,
    Evaluation,
    Ruled,
    Subgroup,
    Subgroups,
)
from pipelines.artifacts.gate import CheckResult, GateResult
from pipelines.artifacts.lineage import TrainRun
from pipelines.artifacts.validation import FailedExpectation, ValidationReport
from pipelines.report.inputs import EvaluatedImage, Provenance, ReportInputs

CLASSES = ("benign", "malignant", "normal")
Status = Literal["passed", "failed", "not judged"]


def case(image: str, tp: int = 0, fp: int = 0, fn: int = 0, **changes) -> EvaluatedImage:
    """An image of 100 px, in test, decided rightly with probability 0.8."""
    label = image.split("/", maxsplit=1)[0]
    facts = {
        "split": "test",
        "label": label,
        "pixels": 100,
        "coarse_tp": tp,
        "coarse_fp": fp,
        "coarse_fn": fn,
        "served": tp + fp,
        "predicted": label,
        "decision": label,
        "probs": {name: 0.8 if name == label else 0.1 for name in CLASSES},
    }
    return EvaluatedImage(image=image, tp=tp, fp=fp, fn=fn, **(facts | changes))


CASES = (
    case("benign/benign (1).png", tp=10),
    case("benign/benign (2).png", tp=8, fp=2, fn=2),
    case("benign/<i>.png", tp=5, fn=5),
    case("malignant/malignant (1).png", tp=30, fp=10),
    case("malignant/malignant (2).png", fn=20, predicted="benign"),
    case("normal/normal (1).png", fp=4, served=0),
    case("normal/normal (2).png"),
    case("benign/benign (9).png", tp=9, fn=1, split="val"),
)


def figure(value: float | None) -> Figure:
    low, high = (None, None) if value is None else (value - 0.06, value + 0.05)
    return Figure(value=value, low=low, high=high, n=7, groups=6)


def check(
    metric: str,
    bound: float,
    value: float | None,
    on: str = "point",
    passed: bool = True,
    **changes,
) -> CheckResult:
    facts = {"where": None, "min_n": 1, "n": 7, "reason": "made up"}
    return CheckResult(
        metric=metric, on=on, bound=bound, value=value, passed=passed, **(facts | changes)
    )


def verdict(
    status: Status, checks: tuple[CheckResult, ...], data: str = "phantom", **changes
) -> GateResult:
    facts = {"registry": f"hgmnet-{data}", "plan_sha256": "91a4" * 16, "plan": ()}
    return GateResult(
        data=data, test_sha="7e57" * 16, status=status, checks=checks, **(facts | changes)
    )


def evidence(data: str = "phantom", status: Status = "passed", **changes) -> ReportInputs:
    """Everything a report needs; `changes` replace fields of Evidence."""
    figures = {
        "lesion_dice": figure(0.7427),
        "accuracy": figure(0.857),
        "served_normal_fp_rate": figure(0.1),
        "sensitivity_malignant": figure(None),
    }
    val = {name: figure(0.6) for name in figures}
    opened = status != "not judged"
    good = status == "passed"
    checks = (
        check("lesion_dice", 0.7 if good else 0.7431, 0.7427 if opened else None, passed=good),
        check("accuracy", 0.7, 0.797 if opened else None, "conservative", passed=opened),
    )
    facts = {
        "validation": ValidationReport(
            data=data,
            passed=True,
            images=40,
            per_class={"benign": 20, "malignant": 12, "normal": 8},
            shares={"burned-in marks": {"benign": 0.5, "malignant": 0.25, "normal": 0.0}},
            expectations=14,
            failures=(_warning(),),
            conflicts=(),
        ),
        "curves": tuple(
            {"epoch": e, "train_loss": 1 / e, "val_loss": 1.2 / e, "learning_rate": 1e-4 * e}
            for e in (1, 2, 3)
        ),
        "cases": CASES if opened else tuple(c for c in CASES if c.split == "val"),
        "evaluation": Evaluation(
            data=data,
            model="m" * 64,
            test_sha="7e57" * 16,
            val=val,
            test=figures if opened else None,
            baselines={
                "majority_accuracy": figure(0.56),
                "area_accuracy": figure(0.73),
                "size_accuracy": figure(0.58),
                "area_auroc_malignant": figure(0.72),
            },
        ),
        "drift": drift(data, "brightness", "lesion_area"),
        "gate": verdict(status, checks, data),
        "spec": _spec(data),
        "operating": Operating(
            temperature=1.25,
            mask_threshold=0.5,
            min_area=0.002,
            malignant_threshold=0.31,
            normal_means_no_mask=True,
            mirror=True,
        ),
        "identity": "1dea" * 16,
        "provenance": provenance(),
    }
    return ReportInputs(**(facts | changes))


def provenance(**changes) -> Provenance:
    """Where forty images went, and a training of four minutes."""
    assigned = {"train": 24, "val": 6, "test": 8, "excluded": 2}
    facts = {
        "data_sha256": "da7a" * 16,
        "copies": 3,
        "scenes": 5,
        "patients": 0,
        "shared": 0,
        "groups": 4,
        "grouped": 9,
        "sides": {("benign", side): count for side, count in assigned.items()},
        "excluded": {"label conflict <1>": 2},
        "lock_id": "10cc",
        "split_sha256": "5e11" * 16,
        "run": TrainRun(
            git_commit="c0ffee" * 6 + "c0ff",
            git_dirty=True,
            device="CPU (x86_64)",
            processes=1,
            threads=2,
            seconds=241.3,
            python="3.11.9",
            packages={"torch": "2.15.0"},
            params={"train.epochs": "3"},
        ),
    }
    return Provenance(**(facts | changes))


def subgroups() -> Subgroups:
    """Small lesions, few and hard; large ones, many and easy."""
    few = Figure(value=0.5, low=0.3, high=0.7, n=29, groups=20)
    many = Figure(value=0.9, low=0.85, high=0.95, n=30, groups=30)
    found = {"small": few, "large": many}
    groups = tuple(
        Subgroup(column="lesion_size", value=name, figures={"lesion_dice": one})
        for name, one in found.items()
    )
    return Subgroups(data="phantom", test_sha="7e57" * 16, split="test", groups=groups)


def certainty() -> Certainty:
    """Accuracy falls as less certain images come in."""
    points = tuple(
        CoveragePoint(share=share, figures={"accuracy": figure(1.1 - share / 4)})
        for share in (0.5, 1.0)
    )
    return Certainty(
        data="phantom",
        split="test",
        refer_above=0.4,
        referred=0.125,
        referred_error=0.3,
        kept_error=0.1,
        risk_areas={"uncertainty": 0.05, "at_random": 0.1},
        points=points,
    )


def consistency() -> Consistency:
    """The four settings of the two rules, with every figure that a report has for them."""
    names = (
        *("served_lesion_dice", "served_normal_fp_rate", "served_accuracy"),
        *("served_sensitivity_malignant", "served_specificity_malignant", "served_false_lesions"),
    )
    rules = tuple(
        Ruled(
            normal_means_no_mask=first,
            no_mask_means_normal=second,
            figures={name: figure(0.5) for name in names},
        )
        for first in (True, False)
        for second in (True, False)
    )
    return Consistency(data="phantom", split="test", rules=rules)


def mask_curve() -> MaskCurve:
    """Two thresholds, the lower one chosen."""
    low, high = (
        MaskPoint(mask_threshold=at, min_area=0.005, lesion_dice=0.8, normal_fp_rate=0.9 - at)
        for at in (0.4, 0.6)
    )
    return MaskCurve(points=(low, high), chosen=low)


def drift(data: str, *columns: str, beyond: tuple[str, ...] = ()) -> DriftReport:
    """A comparison of these columns, of which those `beyond` have drifted."""
    medians = {"reference_median": 1.0, "new_median": 1.1, "images": 7}
    shifts = [
        Shift(column=name, statistic=0.3, bound=0.2 if name in beyond else 0.4, **medians)
        for name in columns
    ]
    return DriftReport(
        data=data,
        model="1dea" * 16,
        source=f"test split of {data}",
        images=7,
        unreadable=(),
        columns=tuple(shifts),
        drifted=beyond,
    )


def _warning() -> FailedExpectation:
    files = ("benign/a.png", "benign/<b>.png")
    meaning = "no two images share their pixels"
    return FailedExpectation(expectation="unique", severity="warning", meaning=meaning, files=files)


def _spec(data: str) -> Spec:
    return Spec(
        format=FORMAT,
        model=params().model,
        prepare=Prepare(side=64, fit="stretch"),
        classes=CLASSES,
        mean=0.4,
        std=0.2,
        data=data,
        seed=3,
        fingerprint="f1" * 32,
        parent=None,
        seen=Seen(train=tuple("abcde"), val=("v",), groups=("g",), parent=()),
    )
