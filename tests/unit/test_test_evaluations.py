"""Every opening of the test split is counted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hgmnet.errors import InvalidDataError
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import (
    opening_number,
    read_evaluations,
    record_evaluation,
)


def test_without_a_record_nothing_was_opened(tmp_path: Path):
    assert read_evaluations(tmp_path / "openings.jsonl") == []


def test_the_number_is_that_of_the_first_look_at_a_model(tmp_path: Path):
    workspace = Workspace(tmp_path, "phantom")
    for model, test_sha in (("m", "a"), ("n", "b"), ("n", "a"), ("m", "a"), ("o", "a")):
        record_evaluation(workspace, model, test_sha, "hgmnet evaluate")
    openings = read_evaluations(workspace.openings)
    assert [opening_number(openings, "a", model) for model in "mno"] == [1, 2, 4]
    assert [opening_number(openings, "b", model) for model in "mno"] == [None, 1, None]


def test_an_opening_says_who_when_how_and_of_what(tmp_path: Path):
    workspace = Workspace(tmp_path, "phantom")
    made = record_evaluation(workspace, "model", "a", "hgmnet evaluate")
    assert read_evaluations(workspace.openings) == [made]
    assert made.who
    assert made.when.endswith("+00:00")
    assert (made.command, made.model, made.test_sha) == ("hgmnet evaluate", "model", "a")


def test_openings_at_once_are_all_kept(tmp_path: Path):
    workspace = Workspace(tmp_path, "phantom")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: record_evaluation(workspace, f"{i}", "a", "x" * 9000), range(40)))
    assert {opening.model for opening in read_evaluations(workspace.openings)} == {
        f"{i}" for i in range(40)
    }


def test_a_damaged_line_is_named(tmp_path: Path):
    workspace = Workspace(tmp_path, "phantom")
    record_evaluation(workspace, "model", "a", "hgmnet evaluate")
    with workspace.openings.open("a") as file:
        file.write("{\n")
    with pytest.raises(InvalidDataError, match="line 2"):
        read_evaluations(workspace.openings)
