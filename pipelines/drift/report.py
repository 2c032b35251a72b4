"""Compare a folder of images with a model's training images; write file, pages and table."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column

from hgmnet.data.image_files import passed_over_text
from hgmnet.evaluation.drift import DriftReport, Profile, Shift, compare, unknown
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.device import best_device
from hgmnet.models.spec import PROFILE
from pipelines.artifacts.io import read_json, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.drift.measure import measure_folder
from pipelines.validation.expectations import Rule, SuiteOutcome, check


def check_drift(shifts: Sequence[Shift], docs: Path) -> tuple[SuiteOutcome, ...]:
    """Check shifts with Great Expectations and write its pages.

    Args:
        shifts: one per column.
        docs: folder of the pages; its content is replaced.

    Returns:
        One outcome per shift, in their order.
    """
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


_NAMED = 10  # unreadable files; the report names all


def profile_folder(root: Path, folder: Path, model: Path) -> DriftReport:
    """Write reports/drift.json and Great Expectations' pages.

    Args:
        root: the repository.
        folder: folder of images, with or without subfolders; masks are left out.
        model: a model folder.

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


def tell(report: DriftReport) -> Iterator[str]:
    """Yield one line per column, then the verdict."""
    yield from _table(report.columns)
    yield ""
    yield from _summary(report)


def _table(shifts: Sequence[Shift]) -> Iterator[str]:
    yield f"{'column':<12} {'reference':>10} {'new':>10} {'distance':>9} {'bound':>6}  verdict"
    for shift in shifts:
        verdict = "drifted" if shift.drifted else "no drift"
        medians = f"{shift.reference_median:>10.4g} {shift.new_median:>10.4g}"
        yield (
            f"{shift.column:<12} {medians} {shift.statistic:>9.3f} {shift.bound:>6.3f}  {verdict}"
        )


def _summary(report: DriftReport) -> Iterator[str]:
    if report.unreadable:
        named = ", ".join(report.unreadable[:_NAMED])
        more = len(report.unreadable) - _NAMED
        rest = f" and {more} more" if more > 0 else ""
        yield f"{len(report.unreadable)} images can't be read and were left out: {named}{rest}"
    if report.passed_over:
        yield passed_over_text(report.passed_over, "reports/drift.json")
    for column, values in report.new_values.items():
        if values:
            yield f"{column} that {report.data} did not have: {', '.join(values)}"
    verdict = f"drifted in {', '.join(report.drifted)}" if report.drifted else "no drift"
    yield f"{report.images} images against those of {report.data}: {verdict}"
