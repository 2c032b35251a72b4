"""Stage: hold the manifest against the expectations; a breach of a critical one ends the run."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from hgmnet.config import Data, Validate
from hgmnet.data.duplicates import Pair
from hgmnet.data.manifest import Record
from hgmnet.errors import InvalidDataError
from pipelines.artifacts import (
    FailedExpectation,
    ValidationReport,
    Workspace,
    read_rows,
    write_json,
)
from pipelines.expectations import Outcome, check, image_rules, image_table

NAMED = 10
"""So many files are named in a message; the report names all."""


def run(root: Path, data: Data, validate: Validate) -> None:
    """Write reports/validation.json and Great Expectations' pages, then judge.

    Raises:
        InvalidDataError: a critical expectation does not hold; a line for each, with the files.
    """
    workspace = Workspace(root, data.name)
    records = read_rows(workspace.manifest, Record)
    outcomes = check(
        "images",
        image_table(records, read_rows(workspace.pairs, Pair)),
        "image",
        image_rules(data, validate),
        workspace.data_docs,
    )
    report = _report(data, records, outcomes)
    write_json(workspace.validation, report)
    for line in _lines(outcomes, "warning"):
        print(f"warning: {line}")
    if not report.passed:
        raise InvalidDataError("\n".join(_lines(outcomes, "critical")))
    print(f"{report.images} images, {report.expectations} expectations, nothing critical broken")


def _report(data: Data, records: Sequence[Record], outcomes: Sequence[Outcome]) -> ValidationReport:
    usable = [record for record in records if not record.excluded and not record.error]
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
    return ValidationReport(
        data=data.name,
        passed=all(failure.severity != "critical" for failure in failures),
        images=sum(not record.excluded for record in records),
        per_class={name: sum(r.label == name for r in usable) for name in sorted(data.classes)},
        expectations=len(outcomes),
        failures=failures,
    )


def _lines(outcomes: Sequence[Outcome], severity: str) -> Iterator[str]:
    for outcome in outcomes:
        if not outcome.held and outcome.rule.severity == severity:
            yield f"{outcome.rule.meaning}: {_found(outcome)}; {outcome.rule.remedy}"


def _found(outcome: Outcome) -> str:
    """The offending files, ten at most, each with its value where that tells more."""
    broken = outcome.broken_by
    if not broken:
        return f"found {outcome.observed}"
    named = [
        f"{name} ({_short(name, value)})" if outcome.rule.tells else name
        for name, value in islice(broken.items(), NAMED)
    ]
    rest = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    return f"not so for {', '.join(named)}{rest}"


def _short(name: str, value: str) -> str:
    """On one line, and without the file's name, which stands before it."""
    return " ".join(value.removeprefix(name).split())
