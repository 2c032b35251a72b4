"""Models that learn masks alone or classes alone, through the stages from calibrate to report."""

import hashlib
import re
import shutil

import pytest
from small_repository import make_repository, put_model

from hgmnet.calibration.mask_threshold import MaskCurve
from hgmnet.config.params import load_params
from hgmnet.data import metadata
from hgmnet.evaluation.drift import DriftReport, Profile
from hgmnet.metrics.catalogue import known
from hgmnet.models.spec import PROFILE, load_operating
from pipelines.artifacts.evaluation import Certainty, Consistency, Evaluation
from pipelines.artifacts.gate import GateResult
from pipelines.artifacts.io import read_json, read_table
from pipelines.stages import calibrate, evaluate, gate, report
from tests.change_plans import write_plans

ALONE = {"coarse": False, "gate": "none"}
CHECKS = [
    {"metric": "lesion_dice", "bound": 0.0, "on": "point", "where": "all", "min_n": 1},
    {"metric": "accuracy", "bound": 0.0, "on": "point", "where": "all", "min_n": 1},
]
MASK_WORDS = ("lesion", "dice", "normal_fp", "pixel", "hd95", "nsd", "area")


def is_of_masks(figure: str) -> bool:
    return any(word in figure for word in MASK_WORDS)


def stages(root, **model):
    """The workspace after calibrate, evaluate, gate and report."""
    space = make_repository(root, model=model, gate={"checks": CHECKS})
    params = put_model(space)
    calibrate.run(root, params.data, params.calibrate)
    evaluate.run(root, params.data, params.evaluate)
    gate.run(root, params.data, params.gate, params.registry)
    report.run(root, params.data, params.report)
    return space


def check_certainty(space, evaluation: Evaluation, *, masks: bool, classes: bool) -> None:
    """What is told of certainty, of the mask's curve and of the rules fits the figures."""
    row = read_table(space.per_image)[0]
    assert (row["mask_disagreement"] != "", row["class_entropy"] != "") == (masks, classes)
    assert 0 <= float(row["uncertainty"]) <= 1
    told = read_json(space.certainty, Certainty)
    assert told.points[0].figures
    for name, figure in told.points[0].figures.items():
        assert figure == evaluation.test[name]
    assert ("mask_disagreement" in told.risk_areas, "class_entropy" in told.risk_areas) == (
        masks,
        classes,
    )
    curve = read_json(space.mask_curve, MaskCurve)
    assert (curve.chosen is not None, len(curve.points) > 0) == (masks, masks)
    point = load_operating(space.model)
    if curve.chosen:
        assert (curve.chosen.mask_threshold, curve.chosen.min_area) == (
            point.mask_threshold,
            point.min_area,
        )
    rules = read_json(space.consistency, Consistency).rules
    assert len(rules) == (4 if masks and classes else 0)
    for rule in rules:
        on = (rule.normal_means_no_mask, rule.no_mask_means_normal)
        if on == (point.normal_means_no_mask, point.no_mask_means_normal):
            assert rule.figures == {name: evaluation.test[name] for name in rule.figures}


@pytest.mark.parametrize(
    ("model", "masks", "classes"),
    [
        ({"tasks": "segmentation"}, True, False),
        ({"tasks": "classification", **ALONE}, False, True),
        (ALONE, True, True),
    ],
    ids=["segmentation", "classification", "fine only"],
)
def test_only_what_is_learnt_is_measured_judged_and_shown(tmp_path, model, masks, classes):
    space = stages(tmp_path, **model)
    evaluation = read_json(space.metrics, Evaluation)
    for found in (evaluation.val, evaluation.test):
        assert any(map(is_of_masks, found)) == masks
        assert any(name in found for name in known(("benign",)) if not is_of_masks(name)) == classes
        assert "coarse_lesion_dice" not in found or model == {"tasks": "segmentation"}
    assert bool(evaluation.baselines) == classes

    verdict = read_json(space.gate, GateResult)
    by_metric = {check.metric: check for check in verdict.checks}
    assert verdict.status == ("passed" if masks and classes else "failed")
    assert by_metric["lesion_dice"].passed == masks
    assert by_metric["accuracy"].passed == classes
    assert {c.reason for c in verdict.checks if not c.passed} <= {"missing"}

    operating = load_operating(space.model)
    assert (operating.malignant_threshold is not None) == classes
    if not classes:
        assert operating.temperature == 1

    row = read_table(space.per_image)[0]
    assert (row["tp"] != "") == masks
    assert (row["prob_benign"] != "") == classes
    assert (row["decision"] == "unclassified") != classes
    check_certainty(space, evaluation, masks=masks, classes=classes)
    columns = set(read_json(space.model / PROFILE, Profile).columns)
    assert ("lesion_area" in columns, "confidence" in columns) == (masks, classes)
    drift = read_json(space.evaluation_drift, DriftReport)
    assert {shift.column for shift in drift.columns} == columns

    html, card = space.html.read_text(), space.model_card.read_text()
    assert ('id="classes"' in html, 'id="outlines"' in html) == (classes, masks)
    assert ('id="layer-prob"' in html, 'id="layer-evidence"' in html) == (masks, classes)
    assert (row["evidence_inside"] != "") == ("evidence_inside" in evaluation.val) == classes
    for text in (html, card):
        assert ("Temperature" in text, "Mask threshold" in text) == (classes, masks)
        assert not re.search(r"\bNone\b(?!\.<)|\bnan\b", text)
    if not (masks and classes):
        assert "is missing: the model does not predict it" in html


def test_a_device_that_no_train_image_is_of_asks_for_a_new_validation(tmp_path):
    space = make_repository(tmp_path, model=ALONE)
    params = put_model(space)
    devices = {"train": "A", "val": "A", "test": "B"}
    entries = [
        metadata.ImageMetadata(
            image=row["image"], patient="", pixel_mm=0.0, further={"Device": device}
        )
        for row in read_table(space.prepared / "index.csv")
        if (device := devices.get(row["split"]))
    ]
    metadata.write(space.raw, entries)
    write_plans(tmp_path, revalidate={"new_values_in": ["Device"]})
    calibrate.run(tmp_path, params.data, params.calibrate)
    evaluate.run(tmp_path, params.data, params.evaluate)
    gate.run(tmp_path, params.data, params.gate, params.registry)
    assert read_json(space.model / PROFILE, Profile).values == {
        "Device": (f"sha256:{hashlib.sha256(b'A').hexdigest()}",)
    }
    (due,) = (c for c in read_json(space.gate, GateResult).due if "new_values_in" in c.clause)
    reason = "the test split of phantom has Device B; the training images do not"
    assert due.reason == reason


def test_a_report_without_pictures_reads_none(tmp_path):
    space = stages(tmp_path)
    params = load_params(tmp_path / "params.yaml")
    assert "data:image/jpeg" in space.html.read_text()
    shutil.rmtree(space.raw)
    report.run(tmp_path, params.data, params.report.model_copy(update={"images": False}))
    html = space.html.read_text()
    assert "data:image" not in html
    assert "report.images: false" in html
