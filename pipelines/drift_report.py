"""A folder of images held against the profile of a model, written down and told."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from hgmnet.drift import DriftReport, Profile, Shift, compare, unknown
from hgmnet.inference import Predictor
from hgmnet.models.spec import PROFILE
from pipelines.drift import measure_folder
from pipelines.expectations_drift import check_drift
from pipelines.files import read_json, write_json
from pipelines.workspace import Workspace

_NAMED = 10  # unreadable files; the report names all


def profile_folder(root: Path, folder: Path, model: Path) -> DriftReport:
    """Write reports/drift.json and Great Expectations' pages.

    Args:
        root: the repository.
        folder: images, in folders or not; masks are left out.
        model: a model folder.

    Raises:
        ConfigError: the model is absent or damaged.
        InvalidDataError: its profile is, or the folder holds no image that can be read.
    """
    profile = read_json(model / PROFILE, Profile)
    predictor = Predictor.load(model, "cuda" if torch.cuda.is_available() else "cpu")
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
        new_values=unknown(profile, measured.told),
    )
    write_json(space.drift, report)
    return report


def tell(report: DriftReport) -> Iterator[str]:
    """A line a column, and the verdict."""
    yield from _table(report.columns)
    yield ""
    yield from _summary(report)


def _table(shifts: Sequence[Shift]) -> Iterator[str]:
    yield f"{'column':<12} {'reference':>10} {'new':>10} {'distance':>9} {'bound':>6}  verdict"
    for shift in shifts:
        verdict = "drifted" if shift.drifted else "as before"
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
    for column, values in report.new_values.items():
        if values:
            yield f"{column} that {report.data} did not have: {', '.join(values)}"
    verdict = f"drifted in {', '.join(report.drifted)}" if report.drifted else "no drift"
    yield f"{report.images} images against those of {report.data}: {verdict}"
