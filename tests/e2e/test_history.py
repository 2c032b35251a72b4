"""Decisions about who serves, on a real store: the chain, its faults, the lock, rolling back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from hgmnet.errors import ConfigError
from pipelines.registry import aliases, lock
from pipelines.registry.aliases import (
    ChangedError,
    PromotionDecision,
    check,
    decide,
    registry_state,
    served_before,
)
from pipelines.registry.history import read_history
from pipelines.registry.lock import locked
from pipelines.registry.tracking_store import TrackingStore, create_run, open_tracking_store
from tests.servers import mlflow_server, postgresql

pytestmark = pytest.mark.slow


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
)
def store(request, tmp_path_factory) -> Iterator[TrackingStore]:
    """A local database; and MLflow's server over HTTP, with PostgreSQL behind it."""
    folder = tmp_path_factory.mktemp("repository")
    if request.param == "sqlite":
        yield open_tracking_store(folder, "phantom", 5)
        return
    with (
        postgresql() as database,
        mlflow_server(folder, database) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", url)
        yield open_tracking_store(folder, "phantom", 60)


@pytest.fixture
def name(store, request) -> str:
    """A registered model of this test's own, with three versions; no store has artifacts here."""
    name = f"hgmnet-{request.node.name.replace('[', '-').replace(']', '')}"
    store.client.create_registered_model(name)
    for _ in range(3):
        store.client.create_model_version(name, source="s3://nowhere/model")
    return name


def promote(store, name, version, **more):
    now = registry_state(store, name)
    resolve = PromotionDecision(
        "promoted", version, version, anchor=version, reason="made up", **more
    )
    return decide(store, name, now.champion, resolve)


def retagged(store, link, **changes):
    """Change a kept decision the way that somebody with the database's password would."""
    for tag, value in changes.items():
        store.client.set_tag(link.run_id, f"hgmnet.history.{tag}", value)


def test_aliases_and_decisions_move_together(store, name):
    store.client.set_registered_model_alias(name, "challenger", "2")
    promote(store, name, "1")
    second = promote(store, name, "2")
    now = registry_state(store, name)
    assert (now.champion, now.anchor, now.challenger) == ("2", "2", "")
    assert [link.entry.champion for link in now.links] == ["1", "2"]
    assert now.links[1].entry.previous == now.links[0].hash
    assert now.head == second.hash
    assert check(now) is None
    assert check(now, head=now.links[0].hash) is None


def test_each_kind_of_tampering_is_named(store, name):
    for version in ("1", "2", "3"):
        promote(store, name, version)
    links = registry_state(store, name).links
    before = dict.fromkeys(("text",), links[1].entry.text)
    forged = links[1].entry.model_copy(update={"reason": "it was better"})

    retagged(store, links[1], text=forged.text)
    assert "decision 2" in check(registry_state(store, name))
    assert "was changed" in check(registry_state(store, name))
    retagged(store, links[1], text=forged.text, hash=forged.hash)
    assert "decision 3" in check(registry_state(store, name))
    assert "does not name the hash of the one before" in check(registry_state(store, name))
    with pytest.raises(ConfigError, match=r"nothing was changed.*decision 3"):
        promote(store, name, "1")
    retagged(store, links[1], text="{}")
    assert "can't be read" in check(registry_state(store, name))
    retagged(store, links[1], **before, hash=links[1].hash)
    assert check(registry_state(store, name)) is None

    store.client.delete_run(links[1].run_id)
    assert "decision 2" in check(registry_state(store, name))
    assert "missing" in check(registry_state(store, name))


def test_a_chain_cut_short_or_written_anew_is_caught_by_the_head_alone(store, name):
    for version in ("1", "2"):
        promote(store, name, version)
    now = registry_state(store, name)
    store.client.delete_run(now.links[1].run_id)
    for alias in ("champion", "anchor"):
        store.client.set_registered_model_alias(name, alias, "1")
    cut = registry_state(store, name)
    assert check(cut) is None
    assert "rewritten, or cut short" in check(cut, head=now.head)


def test_an_alias_moved_by_hand_is_told_and_a_rollback_mends_it(store, name):
    promote(store, name, "1")
    store.client.set_registered_model_alias(name, "champion", "3")
    assert "champion is version 3, but by the last decision it is version 1" in check(
        registry_state(store, name)
    )
    with pytest.raises(ConfigError, match="nothing was changed"):
        promote(store, name, "2")
    decide(store, name, "", PromotionDecision("rolled back", "1", "1", "1", "by hand"), repair=True)
    assert check(registry_state(store, name)) is None
    assert registry_state(store, name).champion == "1"


def test_decisions_beside_the_trainings_as_earlier_releases_wrote_them_are_continued(store, name):
    promote(store, name, "1")
    (link,) = read_history(store, name)
    run = store.client.get_run(link.run_id)
    experiment = store.client.get_experiment(run.info.experiment_id)
    assert experiment.name == f"{store.experiment}-promotions"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"

    old = create_run(store, "1 promoted 1", dict(run.data.tags))
    store.client.set_terminated(old)
    store.client.delete_run(link.run_id)
    assert [one.hash for one in read_history(store, name)] == [link.hash]
    promote(store, name, "2")
    assert [one.number for one in read_history(store, name)] == [1, 2]
    assert check(registry_state(store, name)) is None


def test_a_deleted_experiment_of_decisions_stops_promotions(store, name):
    promote(store, name, "1")
    place = store.client.get_run(read_history(store, name)[0].run_id).info.experiment_id
    store.client.delete_experiment(place)
    try:
        with pytest.raises(ConfigError, match=f"mlflow experiments restore -x {place}"):
            promote(store, name, "2")
    finally:
        store.client.restore_experiment(place)


def test_a_decision_made_against_another_champion_is_not_carried_out(store, name):
    promote(store, name, "1")
    with pytest.raises(ChangedError, match="version 1 became champion"):
        decide(store, name, "", PromotionDecision("promoted", "2", "2", "2", "late"))
    assert registry_state(store, name).champion == "1"
    assert len(registry_state(store, name).links) == 1


def test_a_decision_whose_process_died_is_carried_out_by_the_next(store, name, monkeypatch):
    promote(store, name, "1")
    with monkeypatch.context() as patch:
        patch.setattr(aliases, "_move", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            promote(store, name, "2")
    assert registry_state(store, name).champion == "1"
    with pytest.raises(ChangedError, match="version 2 became champion"):
        decide(store, name, "1", PromotionDecision("promoted", "3", "3", "3", "next"))
    assert registry_state(store, name).champion == "2"
    assert check(registry_state(store, name)) is None


def test_the_version_to_return_to_is_the_one_that_served_before(store, name):
    assert served_before(registry_state(store, name)) == ""
    for version in ("1", "2", "3"):
        promote(store, name, version)
    assert served_before(registry_state(store, name)) == "2"
    decide(store, name, "3", PromotionDecision("rolled back", "2", "2", "2", "worse in use"))
    assert served_before(registry_state(store, name)) == "1"
    decide(store, name, "2", PromotionDecision("kept", "3", "2", "2", "not better"))
    assert served_before(registry_state(store, name)) == "1"


def test_the_lock_is_taken_over_from_the_dead_alone(store, name, monkeypatch):
    with locked(store, name) as taken:
        assert taken.taken_from == ""
        held = pytest.raises(ConfigError, match=f"held by process {os.getpid()}")
        with held, locked(store, name, 0):
            pass
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    monkeypatch.setattr(os, "getpid", lambda: dead.pid)
    lock._create(store, f"{name}.lock", "left behind")
    monkeypatch.undo()
    with locked(store, name) as taken:
        assert str(dead.pid) in taken.taken_from
    assert lock._tags(store, f"{name}.lock") == {}


def test_a_lock_from_elsewhere_is_taken_over_once_it_is_old(store, name):
    lock._create(store, f"{name}.lock", "elsewhere")
    tags = {"hgmnet.lock.host": "another-host", "hgmnet.lock.pid": "1"}
    for tag, value in tags.items():
        store.client.set_registered_model_tag(f"{name}.lock", tag, value)
    with pytest.raises(ConfigError, match="process 1 on another-host"), locked(store, name, 0):
        pass
    old = datetime.now(UTC) - timedelta(seconds=lock.STALE_S + 1)
    store.client.set_registered_model_tag(f"{name}.lock", "hgmnet.lock.since", old.isoformat())
    with locked(store, name) as taken:
        assert "another-host" in taken.taken_from


def test_a_lock_that_goes_while_mlflow_looks_at_it_is_asked_for_again(store, name, monkeypatch):
    """Where one is there MLflow reads it to say so, and it may be deleted before that."""
    create, calls = store.client.create_registered_model, []

    def late(*words, **named):
        calls.append(words)
        if len(calls) == 1:
            raise MlflowException("not found", RESOURCE_DOES_NOT_EXIST)
        return create(*words, **named)

    monkeypatch.setattr(store.client, "create_registered_model", late)
    with locked(store, name) as taken:
        assert taken.taken_from == ""
    assert len(calls) == 2


SCRIPT = """
import sys
from pathlib import Path
from pipelines.registry.aliases import PromotionDecision, decide, registry_state, retry_on_conflict
from pipelines.registry.tracking_store import open_tracking_store

root, name, version = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = open_tracking_store(root, "phantom", 60)
sys.stdin.readline()
retry_on_conflict(lambda: decide(store, name, registry_state(store, name).champion,
                      PromotionDecision("promoted", version, version, version, "at once")), times=9)
"""


def test_two_processes_at_once_leave_one_champion_and_two_links(store, name, tmp_path):
    (script := tmp_path / "decide.py").write_text(SCRIPT)
    words = [sys.executable, script, tmp_path, name]
    where = {**os.environ, "MLFLOW_TRACKING_URI": store.uri}
    both = [
        subprocess.Popen(
            [*words, version],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=where,
        )
        for version in ("1", "2")
    ]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda process: process.communicate("go\n"), both))
    assert [process.returncode for process in both] == [0, 0], ended
    now = registry_state(store, name)
    assert check(now) is None
    assert sorted(link.entry.version for link in now.links) == ["1", "2"]
    assert now.champion == now.links[-1].entry.version


def test_a_decision_fits_into_a_tag(store, name):
    """MLflow allows 8,000 characters."""
    figures = {f"figure {i}": "+0.0123 [-0.0456, 0.0789]" for i in range(20)}
    link = promote(store, name, "1", evidence=figures)
    assert len(link.entry.text) < 4000
    assert json.loads(link.entry.text)["evidence"]["figure 7"] == "+0.0123 [-0.0456, 0.0789]"
