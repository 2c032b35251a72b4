"""Compare a folder of images with a model's training images; write file, pages and table."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column

from hgmnet.data.image_files import passed_over_text
from hgmnet.errors import few
from hgmnet.evaluation.drift import DriftReport, Profile, Shift, compare, unknown
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.device import best_device
from hgmnet.models.spec import PROFILE
from hgmnet.pages.html import fill
from pipelines.artifacts.io import read_json, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.drift.measure import measure_folder
from pipelines.validation.expectations import Rule, SuiteOutcome, check


def check_drift(shifts: Sequence[Shift], docs: Path) -> tuple[SuiteOutcome, ...]:
    """Check shifts with Great Expectations: one outcome each, in order; pages replace `docs`."""
    table = pd.DataFrame([shift.model_dump() for shift in shifts])
    return check("drift", table, "column", [_rule(shift) for shift in shifts], docs)


def _rule(shift: Shift) -> Rule:
    within = partial(gxe.ExpectColumnValuesToBeBetween, column="statistic", max_value=shift.bound)
    return Rule(
        f"{shift.column} is distributed as in the reference: "
        f"Kolmogorov-Smirnov distance at most {shift.bound:.3f}",
        within,
        severity="warning",
        rows=Column("column") == shift.column,
        remedy="inspect the images; the model's figures may not apply to them",
        shows_value=True,
    )


def profile_folder(root: Path, folder: Path, model: Path) -> DriftReport:
    """Compare a folder, without masks, with a model's profile; write reports/drift.json and pages.

    Raises:
        ConfigError: the model is absent or damaged.
        InvalidDataError: its profile is absent or damaged, or the folder has no readable image.
    """
    profile = read_json(model / PROFILE, Profile)
    predictor = TorchPredictor.load(model, best_device())
    measured = measure_folder(folder, predictor)
    shifts = compare(profile, measured.columns)
    space = Workspace(root, profile.data)
    outcomes = check_drift(shifts, space.drift_docs)
    report = DriftReport(
        data=profile.data,
        model=predictor.identity,
        source=str(folder),
        images=measured.images,
        unreadable=measured.unreadable,
        columns=shifts,
        drifted=tuple(name for outcome in outcomes for name in outcome.broken_by),
        new_values=unknown(profile, measured.texts),
        passed_over=measured.passed_over,
    )
    write_json(space.drift, report)
    return report


def report_lines(report: DriftReport) -> list[str]:
    """Return one line per column, then the verdict."""
    passed = passed_over_text(report.passed_over, "reports/drift.json")
    known = {"report": report, "few": few, "passed_over": passed}
    return fill(__file__, "drift.txt.j2", **known).splitlines()
