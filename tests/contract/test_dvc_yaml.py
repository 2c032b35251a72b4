"""dvc.yaml against the code: what a stage runs, reads, writes, is called with and is made of."""

import importlib
import inspect
import itertools
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from pipelines.stages.runner import sections_of
from tests import metrics_table
from tests.imports import REPOSITORY
from tests.stage_code import DATA, FILES, is_code, made_of

STANDING = {f"data/{DATA}/curation.csv", "pccp.yaml"}
"""What no stage writes: a person does."""
PARTS = ("model", "evaluation")
"""Folders whose files go by their own names."""


def _stages() -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = {}
    for file in FILES:
        text = (REPOSITORY / file).read_text().replace("${data.name}", DATA)
        stages |= YAML(typ="safe", pure=True).load(text)["stages"]
    return stages


def _paths(entry: dict[str, Any], *kinds: str) -> list[str]:
    """The paths of a stage's lists, with or without settings behind them."""
    items = itertools.chain.from_iterable(entry.get(kind, []) for kind in kinds)
    return [item if isinstance(item, str) else next(iter(item)) for item in items]


def _known_paths() -> tuple[set[str], set[str]]:
    """The paths that Workspace names, and those of them whose files go by their own names."""
    workspace = Workspace(REPOSITORY, DATA)
    paths = inspect.getmembers(workspace, lambda member: isinstance(member, Path))
    named = {k: path.relative_to(REPOSITORY).as_posix() for k, path in paths if k != "root"}
    return set(named.values()), {named[part] for part in PARTS}


def test_the_stages_stand_in_the_order_of_the_command() -> None:
    assert list(_stages()) == list(STAGES)


def test_the_flow_asks_for_every_stage_but_the_last_in_order() -> None:
    flow = importlib.import_module("pipelines.flows.training")
    assert ["phantom", *flow.STAGES, "register"] == list(_stages())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_command_of_its_name(stage: str) -> None:
    assert _stages()[stage]["cmd"] == f"python -m pipelines stage {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_stage_takes(stage: str) -> None:
    run = importlib.import_module(f"pipelines.stages.{stage}").run
    assert next(iter(inspect.signature(run).parameters)) == "root"
    assert sorted(_stages()[stage]["params"]) == sorted(sections_of(run))


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_files_that_the_stage_is_made_of(stage: str) -> None:
    code = [path for path in _paths(_stages()[stage], "deps") if is_code(path)]
    assert code == made_of(stage), "`make deps` writes them into dvc.yaml"


@pytest.mark.parametrize("stage", STAGES)
def test_data_paths_are_those_of_the_workspace(stage: str) -> None:
    known, folders = _known_paths()
    paths = _paths(_stages()[stage], "deps", "outs", "metrics", "plots")
    strange = {
        path
        for path in paths
        if not is_code(path) and path not in known and str(Path(path).parent) not in folders
    }
    assert strange == set()


def test_a_stage_reads_what_an_earlier_one_writes() -> None:
    written = set(STANDING)
    for stage, entry in _stages().items():
        read = {path for path in _paths(entry, "deps") if not is_code(path)}
        assert read <= written, f"{stage} reads what is not there yet"
        written |= set(_paths(entry, "outs", "metrics", "plots"))


def test_only_register_always_runs() -> None:
    assert [name for name, entry in _stages().items() if entry.get("always_changed")] == [
        "register"
    ]


def test_docs_metrics_has_the_declared_metrics() -> None:
    text = metrics_table.PAGE.read_text()
    assert text == metrics_table.rewritten(text), "`make deps` writes the table"
