"""Stage validate: check the manifest with Great Expectations; a critical failure ends the run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hgmnet.config.data import Data, Validate
from hgmnet.data.atomic import write_text
from hgmnet.data.image_quality import COLOUR
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.images import read_grey
from hgmnet.errors import InvalidDataError
from hgmnet.splitting.pairs import Conflict, Pair, find_conflicts
from pipelines.artifacts.io import read_rows, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.validation import FailedExpectation, LabelConflict, ValidationReport
from pipelines.validation.expectations import SuiteOutcome, broken_lines, check
from pipelines.validation.image_rules import image_rules, image_table
from pipelines.validation.near_duplicate_page import render_likeness


def run(root: Path, data: Data, validate: Validate) -> None:
    """Write reports/validation.json, reports/likeness.html and Great Expectations' pages.

    Raises:
        InvalidDataError: critical expectations are not met; one line per expectation, with files.
    """
    workspace = Workspace(root, data.name)
    records = read_rows(workspace.manifest, ImageRecord)
    pairs = read_rows(workspace.pairs, Pair)
    outcomes = check(
        "images",
        image_table(records, pairs, validate.patient_share),
        "image",
        image_rules(data, validate),
        workspace.data_docs,
    )
    conflicts = find_conflicts(records, pairs)
    report = _report(data, records, outcomes, conflicts)
    write_json(workspace.validation, report)
    labels = {record.image: record.label for record in records}
    read = partial(read_grey, workspace.raw)
    write_text(workspace.likeness, render_likeness(data.name, labels, pairs, conflicts, read))
    for line in broken_lines(outcomes, "warning"):
        print(f"warning: {line}")
    for line in _shares(report):
        print(line)
    if pairs:
        summary = f"label conflicts: {len(conflicts)}, pairs of near-duplicates: {len(pairs)}"
        print(f"{summary}; see {workspace.likeness.relative_to(root)}")
    if not report.passed:
        raise InvalidDataError("\n".join(broken_lines(outcomes, "critical")))
    print(f"{report.images} images, {report.expectations} expectations, no critical failure")


def _report(
    data: Data,
    records: Sequence[ImageRecord],
    outcomes: Sequence[SuiteOutcome],
    conflicts: Sequence[Conflict],
) -> ValidationReport:
    failures = tuple(
        FailedExpectation(
            expectation=outcome.expectation,
            severity=outcome.rule.severity,
            meaning=outcome.rule.meaning,
            files=tuple(outcome.broken_by),
        )
        for outcome in outcomes
        if not outcome.held
    )
    usable = [record for record in records if not record.excluded and not record.error]
    by_class = {name: [r for r in usable if r.label == name] for name in sorted(data.classes)}
    return ValidationReport(
        data=data.name,
        passed=all(failure.severity != "critical" for failure in failures),
        images=sum(not record.excluded for record in records),
        per_class={name: len(members) for name, members in by_class.items()},
        shares={
            "burned-in marks": _share(by_class, lambda record: record.marks > 0),
            "colour": _share(by_class, lambda record: record.colour_share > COLOUR),
        },
        expectations=len(outcomes),
        failures=failures,
        conflicts=tuple(
            LabelConflict(
                labels=dict(conflict.labels),
                links=tuple((pair.first, pair.second) for pair in conflict.pairs),
            )
            for conflict in conflicts
        ),
    )


def _share(
    by_class: Mapping[str, Sequence[ImageRecord]], shows: Callable[[ImageRecord], bool]
) -> dict[str, float]:
    return {
        name: round(sum(map(shows, members)) / len(members), 4)
        for name, members in by_class.items()
        if members
    }


def _shares(report: ValidationReport) -> Iterator[str]:
    """Yield one line per possible shortcut: the percentage of images that show it, by class."""
    for what, shares in report.shares.items():
        if any(shares.values()):
            summary = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
            yield f"{what}: {summary}"
