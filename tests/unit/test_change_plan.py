"""A model inside and outside of its change plan, and a plan that is none."""

from pathlib import Path

import pytest
from made_up import drift, evidence, figure
from ruamel.yaml import YAML

from hgmnet.config.change_plan import Span, load_plans
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.gate.change_plan import (
    Candidate,
    Design,
    check_change_plan,
    check_design,
    openings_due,
)
from pipelines.gate.checks import Figures
from tests.change_plans import NAME, PLANS, write_plans

ROOT = PLANS.parent


def candidate(spec=None, operating=None, **changes) -> Candidate:
    made = evidence()
    facts = {
        "registry": NAME,
        "design": design(**(spec or {})),
        "operating": made.operating.model_copy(update=operating or {}),
        "figures": Figures({"lesion_dice": figure(0.7), "accuracy": figure(0.7)}, ()),
        "drift": drift("phantom", "a", "b", "c", "d"),
    }
    return Candidate(**(facts | changes))


def design(**changes) -> Design:
    spec = evidence().spec.model_copy(update=changes)
    return Design(spec.data, spec.classes, spec.model, spec.prepare)


def outside(tmp_path: Path, made: Candidate, status: str = "breached", **plan) -> dict[str, str]:
    write_plans(tmp_path, **plan)
    results = check_change_plan(load_plans(tmp_path / "pccp.yaml"), made)
    return {result.clause: result.reason for result in results if result.status == status}


def model(**changes):
    return {"model": evidence().spec.model.model_copy(update=changes)}


def test_a_model_inside_its_plan_breaches_nothing_and_every_clause_is_told(tmp_path):
    assert outside(tmp_path, candidate()) == {}
    assert list(outside(tmp_path, candidate(), "held")) == [
        "allowed.data",
        "allowed.retraining.encoders",
        "allowed.retraining.side",
        "fixed.classes",
        "fixed.tasks",
        "fixed.input.channels",
        "allowed.thresholds.malignant",
        "allowed.thresholds.mask",
        "allowed.thresholds.min_area",
        "acceptance.lesion_dice",
        "revalidate.drifted_share_above",
    ]


ENCODERS = {"encoders": ["res*", "tu-*"], "side": {"min": 1, "max": 512}}


@pytest.mark.parametrize(
    ("made", "clause", "reason"),
    [
        (candidate({"data": "busi"}), "allowed.data", "it is trained on busi; planned: phantom"),
        (
            candidate(model(encoder="mobilenet_v2")),
            "allowed.retraining.encoders",
            "it has the encoder mobilenet_v2; planned: res*, tu-*",
        ),
        (
            candidate(operating={"malignant_threshold": 0.9995}),
            "allowed.thresholds.malignant",
            "it calls malignant from 0.9995; planned: 0.001 to 0.999",
        ),
        (
            candidate(operating={"min_area": 0.11}),
            "allowed.thresholds.min_area",
            "it drops a mask below 0.11; planned: 0 to 0.1",
        ),
        (
            candidate({"classes": ("benign", "malignant")}),
            "fixed.classes",
            "it predicts benign, malignant; planned: benign, malignant, normal",
        ),
        (
            candidate(model(tasks="segmentation")),
            "fixed.tasks",
            "it learns segmentation; planned: joint",
        ),
        (candidate(model(input="rgb")), "fixed.input.channels", "it takes rgb; planned: grey"),
    ],
)
def test_a_model_outside_its_plan_is_told_by_the_clause(tmp_path, made, clause, reason):
    allowed = committed_allowed() | ({"retraining": ENCODERS} if "encoders" in clause else {})
    assert outside(tmp_path, made, allowed=allowed) == {clause: reason}


def committed_allowed() -> dict:
    plans = YAML(typ="safe", pure=True).load(PLANS.read_text())
    return plans["plans"][NAME]["allowed"]


def test_what_is_known_before_a_training_is_told_before_it():
    plans = load_plans(PLANS)
    assert {r.status for r in check_design(plans, NAME, design())} == {"held"}
    told = check_design(plans, NAME, design(**model(tasks="segmentation")))
    assert [r.clause for r in told if r.status == "breached"] == ["fixed.tasks"]


def test_the_order_of_the_classes_is_no_change(tmp_path):
    assert outside(tmp_path, candidate({"classes": ("normal", "malignant", "benign")})) == {}


def test_a_model_that_tells_no_class_has_no_threshold_to_hold(tmp_path):
    made = candidate(model(tasks="segmentation"), {"malignant_threshold": None})
    assert "allowed.thresholds.malignant" not in outside(tmp_path, made, "held")
    assert list(outside(tmp_path, made)) == ["fixed.tasks"]


CRITERION = {"metric": "lesion_dice", "bound": 0.65, "on": "conservative", "where": "all"}


@pytest.mark.parametrize(
    ("criterion", "reason"),
    [
        (CRITERION | {"min_n": 7}, "lesion_dice, on the conservative: 0.64 < 0.65"),
        (
            CRITERION | {"min_n": 8, "on": "point"},
            "lesion_dice, on the point: 7 images are too few, 8 are needed",
        ),
        (CRITERION | {"min_n": 1, "metric": "macro_f1"}, "macro_f1, on the conservative: missing"),
    ],
)
def test_the_plans_own_criteria_are_judged_too(tmp_path, criterion, reason):
    found = outside(tmp_path, candidate(), acceptance=[criterion])
    assert list(found.values()) == [reason]


def test_a_criterion_waits_where_the_test_split_was_not_opened(tmp_path):
    made = candidate(figures=Figures(None, ()))
    assert outside(tmp_path, made) == {}
    assert list(outside(tmp_path, made, "not judged")) == ["acceptance.lesion_dice"]


@pytest.mark.parametrize(("beyond", "due"), [(("a",), False), (("a", "b"), True)])
def test_drift_in_too_many_columns_asks_for_a_new_validation(tmp_path, beyond, due):
    made = candidate(drift=drift("phantom", "a", "b", "c", "d", beyond=beyond))
    found = outside(tmp_path, made, "due")
    assert ("revalidate.drifted_share_above" in found) is due
    if due:
        assert next(iter(found.values())).endswith("in 2 of 4 features, 50% > 25%")


@pytest.mark.parametrize(
    ("new", "status", "said"),
    [
        ({"Device": ("D2", "D3")}, "due", "has Device D2, D3; the training images do not"),
        ({"Device": ()}, "held", "has no Device that the training images do not have"),
        ({}, "not judged", "lacks Device"),
    ],
)
def test_a_new_device_asks_for_a_new_validation(tmp_path, new, status, said):
    made = candidate(drift=drift("phantom", "a").model_copy(update={"new_values": new}))
    plan = {"revalidate": {"new_values_in": ["Device"]}}
    assert outside(tmp_path, made, status, **plan)["revalidate.new_values_in"].endswith(said)
    assert outside(tmp_path, made, **plan) == {}


@pytest.mark.parametrize(("openings", "status"), [(20, "held"), (21, "due")])
def test_too_many_openings_ask_for_a_new_validation(openings, status):
    plan = load_plans(PLANS).plans[NAME]
    assert openings_due(plan, openings).status == status


def test_a_registered_model_without_a_plan_is_outside_and_told_what_there_is():
    (only,) = check_change_plan(load_plans(PLANS), candidate(registry="hgmnet-clinic"))
    assert (only.clause, only.status) == ("plans", "breached")
    assert "no plan for hgmnet-clinic; found plans for hgmnet-busi, hgmnet-phantom" in only.reason


@pytest.mark.parametrize("profile", sorted(ROOT.glob("profiles/*.yaml")), ids=lambda p: p.stem)
def test_the_models_of_every_profile_fit_the_committed_plan(profile):
    params = load_params(profile)
    spec = {
        "data": params.data.name,
        "classes": params.data.classes,
        "prepare": params.prepare,
        "model": params.model,
    }
    good = {"lesion_dice": figure(0.99), "accuracy": figure(0.99)}
    enough = {name: f.model_copy(update={"n": 60}) for name, f in good.items()}
    made = candidate(spec, registry=params.registry.name, figures=Figures(enough, ()))
    told = check_change_plan(load_plans(PLANS), made)
    assert {r.clause for r in told if r.status != "held"} <= {"revalidate.new_values_in"}
    assert {r.status for r in told} <= {"held", "not judged"}


@pytest.mark.parametrize("profile", sorted(ROOT.glob("profiles/*.yaml")), ids=lambda p: p.stem)
def test_no_profile_asks_for_less_than_its_plan(profile):
    params = load_params(profile)
    asked = {(c.metric, c.on, c.where): c for c in params.gate.checks}
    for criterion in load_plans(PLANS).plans[params.registry.name].acceptance:
        check = asked[criterion.metric, criterion.on, criterion.where]
        assert check.bound >= criterion.bound
        assert check.min_n >= criterion.min_n


def test_a_span_holds_its_ends():
    span = Span(min=0.1, max=0.2)
    assert [value in span for value in (0.09, 0.1, 0.15, 0.2, 0.21)] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: 2", "version: Input should be 1, got 2"),
        ("      tasks: joint", "", r"plans\.hgmnet-phantom\.fixed\.tasks: missing"),
        ("tasks: joint", "tasks: join", r"fixed\.tasks: .*got 'join'"),
        ("{min: 32, max: 512}", "{min: 32, max: 5}", "retraining.side: min 32 is above max 5"),
        ("    revalidate:", "    revalidation: 1\n    revalidate:", "revalidation: unknown key"),
        ("where: all", "where: everywhere", r"where: expected 'all' or \{column: .*'everywhere'$"),
        (
            "where: all, min_n: 30",
            "where: {column: label, value: benign}, min_n: 29",
            "min_n: a check of a subgroup needs at least 30 images, got 29",
        ),
    ],
)
def test_a_mistake_in_the_plan_is_named_by_its_key(tmp_path, old, new, said):
    text = PLANS.read_text()
    assert old in text
    (tmp_path / "pccp.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        load_plans(tmp_path / "pccp.yaml")


def test_an_absent_plan_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"pccp\.yaml is missing; git checkout pccp\.yaml"):
        load_plans(tmp_path / "pccp.yaml")
