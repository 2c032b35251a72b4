"""The record of test evaluations: each one on the test split, a JSON line each.

The test split is opened on purpose, and re-use has a price: the count goes with every model.
"""

import getpass
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from hgmnet.config.base import Frozen
from hgmnet.errors import InvalidDataError
from pipelines.artifacts.paths import Workspace


class RecordedEvaluation(Frozen):
    """An evaluation on the test split: who, when (UTC, ISO 8601), by what command, which model."""

    who: str
    when: str
    command: str
    model: str
    test_sha: str


def record_evaluation(
    workspace: Workspace, model_identity: str, test_sha: str, command: str
) -> RecordedEvaluation:
    """Append one line to `workspace.openings`; call it before any test figure is computed.

    `test_sha`: of the live test rows. `command`: what was typed, as `hgmnet evaluate`.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = RecordedEvaluation(
        who=user(), when=when, command=command, model=model_identity, test_sha=test_sha
    )
    workspace.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.state / "openings.lock")
    with lock, workspace.openings.open("a", encoding="utf-8") as file:
        file.write(opening.model_dump_json() + "\n")
    return opening


def read_evaluations(path: Path) -> list[RecordedEvaluation]:
    """Read every opening, oldest first; none where the file is absent.

    Raises:
        InvalidDataError: a line is not an opening; the message names it.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def opening_number(openings: Iterable[RecordedEvaluation], test_sha: str, model: str) -> int | None:
    """Which evaluation on a test split first showed it to a model: 1 is the first of all.

    Looking again at the same model shows nothing new, so its number stays. None where the model was
    never evaluated on it. `openings`: of any test splits, oldest first.
    """
    models = [opening.model for opening in openings if opening.test_sha == test_sha]
    return models.index(model) + 1 if model in models else None


def user() -> str:
    """Who is at work, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _parse(path: Path, number: int, line: str) -> RecordedEvaluation:
    try:
        return RecordedEvaluation.model_validate_json(line)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        msg = f"{path}, line {number}: no test evaluation ({why}); mend or remove it"
        raise InvalidDataError(msg) from None
