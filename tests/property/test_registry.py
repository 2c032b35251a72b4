"""Laws of the registry: whatever is done to it, what serves was judged, and the history agrees."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hgmnet.errors import HgmnetError
from hgmnet.models.spec import WEIGHTS, identity
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, adopt, open_comparer, promote, rollback
from pipelines.registry import aliases, verification
from pipelines.registry.aliases import check, delete, registry_state
from pipelines.registry.loading import load_version
from pipelines.registry.tracking_store import TrackingStore
from pipelines.stages import register
from tests.three_versions import NAME, give_three_versions

pytestmark = [pytest.mark.slow, pytest.mark.long]


class Killed(BaseException):
    """In place of SIGKILL: no handler of ours catches it."""


class Registry:
    """A registry with three versions; each method is one thing that can happen to it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.comparer = open_comparer(workspace.root, None)
        self.store: TrackingStore = self.comparer.store
        self.judged = dict(registry_state(self.store, NAME).models)
        self.locations = {
            identity(file.parent): file.parent
            for file in (workspace.root / "mlartifacts").rglob(WEIGHTS)
        }

    def register(self, _: str) -> None:
        params = self.comparer.params
        register.run(self.workspace.root, params.data, params.registry)

    def promote(self, number: str) -> None:
        promote(self.comparer, Request(number, approved=True, reason="signed"))

    def rollback(self, _: str) -> None:
        rollback(self.comparer, None, "an incident")

    def adopt(self, _: str) -> None:
        adopt(self.comparer, "moved in the page")

    def delete(self, number: str) -> None:
        delete(self.store, NAME, number)

    def delete_in_mlflow(self, number: str) -> None:
        if number in registry_state(self.store, NAME).models:
            self.store.client.delete_model_version(NAME, number)

    def move_by_hand(self, number: str) -> None:
        if number in registry_state(self.store, NAME).models:
            self.store.client.set_registered_model_alias(NAME, "champion", number)

    def damage(self, number: str) -> None:
        shutil.rmtree(self.workspace.versions, ignore_errors=True)
        with (self.locations[self.judged[number]] / WEIGHTS).open("r+b") as file:
            file.write(b"\0\0\0")

    def killed_before_the_aliases(self, number: str) -> None:
        self._killed("_move", number)

    def killed_before_the_end(self, number: str) -> None:
        self._killed("finish", number)

    def _killed(self, at: str, number: str) -> None:
        def die(*_: object) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(aliases, at, die)
            self.promote(number)


STEPS = [name for name in vars(Registry) if not name.startswith("_")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "verify", lambda *_: None)  # a process that takes seconds
        yield give_three_versions(tmp_path_factory.mktemp("registry") / "repository").root


@pytest.fixture(scope="module")
def begin(made: Path) -> Callable[[], Registry]:
    """Put the registry back to its beginning; version 1 serves."""
    kept = made.with_name("kept")
    shutil.copytree(made, kept)

    def begin() -> Registry:
        for file in (kept / "mlartifacts").rglob(WEIGHTS):
            shutil.copyfile(file, made / file.relative_to(kept))
        with (
            closing(sqlite3.connect(kept / "mlflow.db")) as source,
            closing(sqlite3.connect(made / "mlflow.db")) as target,
        ):
            source.backup(target)
        shutil.rmtree(made / ".hgmnet" / "versions", ignore_errors=True)
        return Registry(Workspace(made, "phantom"))

    return begin


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from("123")), max_size=7))
def test_what_serves_was_judged_and_the_history_names_it(
    begin: Callable[[], Registry], steps: list[tuple[str, str]]
) -> None:
    registry = begin()
    for name, number in steps:
        with suppress(HgmnetError):  # refused
            getattr(registry, name)(number)
        holds(registry)


def holds(registry: Registry) -> None:
    """Who serves, does the history name it, is it the model whose figures were judged?"""
    now = registry_state(registry.store, NAME)
    entries = [link.entry for link in now.links]
    assert all(entries), "a decision can't be read"
    assert [entry.number for entry in entries if entry] == list(range(1, len(entries) + 1))
    try:
        serves = load_version(registry.store, NAME, None, registry.workspace.versions)
    except HgmnetError:
        return  # nothing serves
    assert identity(serves.folder) == registry.judged[serves.number]
    decided = [entry for entry in now.decided if entry and entry.champion == serves.number]
    assert decided, "it serves without a decision"
    assert decided[0].champion_model in {"", registry.judged[serves.number]}
    assert serves.remark or check(now) is None or not now.links[-1].done


def test_there_is_always_a_way_out(begin: Callable[[], Registry]) -> None:
    """The champion is deleted, its successor's alias moved by hand, a decision cut short."""
    registry = begin()
    registry.killed_before_the_aliases("2")
    registry.delete_in_mlflow("2")
    registry.delete_in_mlflow("1")
    registry.promote("3")
    now = registry_state(registry.store, NAME)
    assert (now.champion, check(now)) == ("3", None)
    assert load_version(registry.store, NAME, None, registry.workspace.versions).remark == ""
