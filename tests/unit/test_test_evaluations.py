"""Every opening of the test split is counted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hgmnet.errors import InvalidDataError
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import (
    count_received,
    numbered,
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


def test_an_evaluation_that_came_with_results_is_counted_once(tmp_path: Path):
    there, here = Workspace(tmp_path / "there", "phantom"), Workspace(tmp_path / "here", "phantom")
    for workspace in (there, here):
        record_evaluation(workspace, "another", "a", "hgmnet evaluate")
    made = record_evaluation(there, "m", "a", "hgmnet evaluate")
    record_evaluation(there, "m", "a", "hgmnet evaluate, again")
    number = numbered(read_evaluations(there.openings), "a", "m")
    assert (number.number, number.first) == (2, made)
    write_json(here.opening, number)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: count_received(here, "m", "a"), range(8)))
    assert [one for one in found if one] == [made]
    assert read_evaluations(here.openings)[1:] == [made]


@pytest.mark.parametrize(("model", "test_sha"), [("n", "a"), ("m", "b")])
def test_the_record_of_another_evaluation_counts_nothing(tmp_path: Path, model: str, test_sha: str):
    workspace = Workspace(tmp_path, "phantom")
    record_evaluation(workspace, "m", "a", "hgmnet evaluate")
    write_json(workspace.opening, numbered(read_evaluations(workspace.openings), "a", "m"))
    workspace.openings.unlink()
    assert count_received(workspace, model, test_sha) is None
    assert read_evaluations(workspace.openings) == []
