"""Record of all evaluations on the test split, one JSON line each.

Repeated use biases the test split's figures: every model carries the number of evaluations.
"""

import getpass
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock
from pydantic import ValidationError

from hgmnet.config.base import Frozen
from hgmnet.errors import InvalidDataError
from pipelines.artifacts.io import read_json
from pipelines.artifacts.paths import Workspace


class RecordedEvaluation(Frozen):
    """An evaluation on the test split: user, time (UTC, ISO 8601), command, model identity."""

    who: str
    when: str
    command: str
    model: str
    test_sha: str


class EvaluationNumber(Frozen):
    """Number of this model's first evaluation on this test split, counted in this checkout from 1.

    `first`: the record of that evaluation. It travels with the results (`dvc pull`, run cache), so
    that another checkout counts the same one. Both are None where the test split was not evaluated.
    `hgmnet register` counts the evaluations of all checkouts.
    """

    test_sha: str
    number: int | None
    first: RecordedEvaluation | None = None


def record_evaluation(
    workspace: Workspace, model_identity: str, test_sha: str, command: str
) -> RecordedEvaluation:
    """Append one line to `workspace.openings`; call it before any test figure is computed.

    `test_sha`: of the live test rows. `command`: as typed, such as `hgmnet evaluate`.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = RecordedEvaluation(
        who=user(), when=when, command=command, model=model_identity, test_sha=test_sha
    )
    with _locked(workspace):
        _append(workspace, opening)
    return opening


def count_received(
    workspace: Workspace, model_identity: str, test_sha: str
) -> RecordedEvaluation | None:
    """Append the evaluation that opening.json names to `workspace.openings`, unless it is there.

    It is missing if the results came by `dvc pull`, or from DVC's run cache. Returns it then; None
    if nothing was appended, also where it is not of this model and test split.

    Raises:
        InvalidDataError: one of the files is damaged.
    """
    if not workspace.opening.exists():
        return None
    first = read_json(workspace.opening, EvaluationNumber).first
    if first is None or (first.model, first.test_sha) != (model_identity, test_sha):
        return None
    with _locked(workspace):
        if first in read_evaluations(workspace.openings):
            return None
        _append(workspace, first)
    return first


def read_evaluations(path: Path) -> list[RecordedEvaluation]:
    """Read every test evaluation, oldest first; empty where the file is missing.

    Raises:
        InvalidDataError: a line is not a test evaluation; the message has its number.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def opening_number(openings: Iterable[RecordedEvaluation], test_sha: str, model: str) -> int | None:
    """Number of the first evaluation of a model on a test split, counted from 1.

    Evaluating the same model again does not change it. None where the model was never evaluated on
    it. `openings`: of any test splits, oldest first.
    """
    models = [opening.model for opening in openings if opening.test_sha == test_sha]
    return models.index(model) + 1 if model in models else None


def numbered(openings: Iterable[RecordedEvaluation], test_sha: str, model: str) -> EvaluationNumber:
    """Return number and record of a model's first evaluation; arguments as `opening_number`."""
    same = [opening for opening in openings if opening.test_sha == test_sha]
    number = opening_number(same, test_sha, model)
    first = None if number is None else same[number - 1]
    return EvaluationNumber(test_sha=test_sha, number=number, first=first)


def user() -> str:
    """Return the name of the system's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _locked(workspace: Workspace) -> BaseFileLock:
    workspace.state.mkdir(parents=True, exist_ok=True)
    return FileLock(workspace.state / "openings.lock")


def _append(workspace: Workspace, opening: RecordedEvaluation) -> None:
    with workspace.openings.open("a", encoding="utf-8") as file:
        file.write(opening.model_dump_json() + "\n")


def _parse(path: Path, number: int, line: str) -> RecordedEvaluation:
    try:
        return RecordedEvaluation.model_validate_json(line)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        msg = f"{path}, line {number}: no test evaluation ({why}); fix or remove it"
        raise InvalidDataError(msg) from None
