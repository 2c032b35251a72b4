"""`hgmnet data`: questions about images that are not, or not yet, in a data set."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hgmnet.drift import DriftReport, Shift

_NAMED = 10  # unreadable files; the report names all


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the verb and what it is about."""
    verbs = parser.add_subparsers(metavar="verb", dest="verb", required=True)
    does = "compare a folder of images with those that a model was made from"
    profile = verbs.add_parser("profile", help=does, description=does)
    profile.add_argument("folder", type=Path, help="images, in folders or not; masks are left out")
    profile.add_argument("--model", type=Path, help="a model folder, else models/hgmnet")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print a line a column, write reports/drift.json and Great Expectations' pages.

    That images drifted is a finding, not an error: drift.json has it.

    Raises:
        ConfigError: the model is absent or damaged.
        InvalidDataError: its profile is, or the folder holds no image that can be read.
    """
    import torch

    from hgmnet.drift import DriftReport, Profile, compare
    from hgmnet.inference import Predictor
    from hgmnet.models.spec import PROFILE
    from pipelines.artifacts import Workspace, read_json, write_json
    from pipelines.drift import measure_folder
    from pipelines.expectations_drift import check_drift

    model = args.model or root / "models" / "hgmnet"
    profile = read_json(model / PROFILE, Profile)
    predictor = Predictor.load(model, "cuda" if torch.cuda.is_available() else "cpu")
    measured = measure_folder(args.folder, predictor)
    shifts = compare(profile, measured.columns)
    space = Workspace(root, profile.data)
    outcomes = check_drift(shifts, space.drift_docs)
    report = DriftReport(
        data=profile.data,
        model=predictor.identity,
        source=str(args.folder),
        images=measured.images,
        unreadable=measured.unreadable,
        columns=shifts,
        drifted=tuple(name for outcome in outcomes for name in outcome.broken_by),
    )
    write_json(space.drift, report)
    print("\n".join([*_table(shifts), "", *_summary(report)]))


def _table(shifts: Sequence["Shift"]) -> Iterator[str]:
    yield f"{'column':<12} {'reference':>10} {'new':>10} {'distance':>9} {'bound':>6}  verdict"
    for shift in shifts:
        verdict = "drifted" if shift.drifted else "as before"
        medians = f"{shift.reference_median:>10.4g} {shift.new_median:>10.4g}"
        yield (
            f"{shift.column:<12} {medians} {shift.statistic:>9.3f} {shift.bound:>6.3f}  {verdict}"
        )


def _summary(report: "DriftReport") -> Iterator[str]:
    if report.unreadable:
        named = ", ".join(report.unreadable[:_NAMED])
        more = len(report.unreadable) - _NAMED
        rest = f" and {more} more" if more > 0 else ""
        yield f"{len(report.unreadable)} images can't be read and were left out: {named}{rest}"
    verdict = f"drifted in {', '.join(report.drifted)}" if report.drifted else "no drift"
    yield f"{report.images} images against those of {report.data}: {verdict}"
