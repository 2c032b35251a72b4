"""Faults in identity: a name or number that no longer stands for the model that was judged."""

import shutil
import threading
from pathlib import Path

import mlflow
import pytest

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import WEIGHTS, identity
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, adopt, open_comparer, promote, rollback
from pipelines.registry import known_answers
from pipelines.registry.aliases import check, registry_state
from pipelines.registry.known_answers import FILE, first_difference
from pipelines.registry.loading import AGREES, AS_REGISTERED, UNBOUND, load_version
from pipelines.registry.tracking_store import TrackingStore, fluent_calls_to, open_tracking_store
from pipelines.registry.versions import ANSWERS, find_version
from pipelines.stages import register
from tests.run_here import run_here
from tests.three_versions import NAME, give_three_versions
from tests.tiny_repository import make_model

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Version 1 serves, 2 is better, 3 is like 2 and waits as challenger."""
    return give_three_versions(tmp_path / "repository")


@pytest.fixture
def store(workspace: Workspace) -> TrackingStore:
    return open_tracking_store(workspace.root, "phantom", 5)


def test_weights_exchanged_together_with_the_tag_are_refused(
    workspace: Workspace, store: TrackingStore
) -> None:
    """Who can write to the store can change both; the decision names the first model."""
    one, two = (registered_folder(workspace, store, number) for number in "12")
    shutil.copytree(two, one, dirs_exist_ok=True)
    store.client.set_model_version_tag(NAME, "1", "hgmnet.model", identity(two))
    with pytest.raises(InvalidDataError, match="was decided on as model"):
        load_version(store, NAME, "1", workspace.versions)
    with pytest.raises(HgmnetError, match="was decided on as model"):
        load_version(store, NAME, None, workspace.versions)
    assert run_here(workspace.root, "history").status == 4


def test_packed_code_that_was_edited_is_refused_by_a_promotion(
    workspace: Workspace, store: TrackingStore
) -> None:
    code = registered_folder(workspace, store, "2").parents[1] / "code/hgmnet"
    with (code / "inference/postprocess.py").open("a") as file:
        file.write("\n_EDITED = True\n")
    with pytest.raises(InvalidDataError, match=r"hgmnet\.code is .* but .* was registered"):
        promote(open_comparer(workspace.root, "other"), Request("2"))
    assert registry_state(store, NAME).champion == "1"


def test_a_registered_model_that_was_made_again_is_not_the_one_that_was_decided_on(
    workspace: Workspace, store: TrackingStore
) -> None:
    """Its numbers begin at 1 again."""
    old = find_version(store, NAME, "3")
    store.client.delete_registered_model(NAME)
    store.client.create_registered_model(NAME)
    with fluent_calls_to(store.uri):
        store.client.create_model_version(NAME, old.source, old.run_id, tags=old.tags)
    store.client.set_registered_model_alias(NAME, "champion", "1")
    with pytest.raises(HgmnetError, match="version 1, the champion, was decided on as model"):
        load_version(store, NAME, None, workspace.versions)


def test_an_anchor_that_was_moved_by_hand_compares_with_nobody(
    workspace: Workspace, store: TrackingStore
) -> None:
    promote(open_comparer(workspace.root, None), Request("2", approved=True, reason="signed"))
    store.client.set_registered_model_alias(NAME, "anchor", "1")
    with pytest.raises(ConfigError, match="anchor is version 1, but by the last decision"):
        promote(open_comparer(workspace.root, None), Request("3"))
    with pytest.raises(InvalidDataError, match="anchor is version 1"):
        load_version(store, NAME, "anchor", workspace.versions)
    assert load_version(store, NAME, "champion", workspace.versions).remark


def test_a_version_that_was_rolled_back_is_not_challenger_again(
    workspace: Workspace, store: TrackingStore
) -> None:
    make_model(workspace, seed=2)  # version 3
    comparer = open_comparer(workspace.root, None)
    promote(comparer, Request("3", approved=True, reason="signed"))
    rollback(comparer, None, "an incident")
    register.run(workspace.root, comparer.params.data, comparer.params.registry)
    now = registry_state(store, NAME)
    assert (now.champion, now.challenger) == ("1", "")


@pytest.mark.parametrize(
    ("tag", "value", "accepted"),
    [("hgmnet.gate", "failed", False), ("hgmnet.pccp_sha256", "0" * 64, True)],
)
def test_a_rollback_and_an_adoption_ask_for_gate_and_change_plan(
    workspace: Workspace, store: TrackingStore, tag: str, value: str, accepted: bool
) -> None:
    comparer = open_comparer(workspace.root, None)
    promote(comparer, Request("2"))
    store.client.set_model_version_tag(NAME, "1", tag, value)
    message = "another change plan" if accepted else "only a version that passed"
    with pytest.raises(ConfigError, match=message):
        rollback(comparer, None, "an incident")
    store.client.set_registered_model_alias(NAME, "champion", "1")
    with pytest.raises(ConfigError, match=message):
        adopt(comparer, "moved in the page")
    before = len(registry_state(store, NAME).links)
    if accepted:
        rollback(comparer, "1", "an incident", other_plan=True)
    assert len(registry_state(store, NAME).links) == before + accepted


def test_a_move_in_mlflow_is_recorded_by_an_adoption(
    workspace: Workspace, store: TrackingStore
) -> None:
    words = ("promote", "--adopt", "--reason", "moved in the page")
    assert "nothing to adopt" in run_here(workspace.root, *words).output
    store.client.set_registered_model_alias(NAME, "champion", "2")
    broken = run_here(workspace.root, "history")
    assert (broken.status, "promote --adopt" in broken.output) == (4, True)
    assert run_here(workspace.root, *words).status == 0
    now = registry_state(store, NAME)
    last = now.links[-1].entry
    assert last is not None
    assert (check(now), now.champion, last.action) == (None, "2", "adopted")
    assert last.champion_model == now.models["2"]


def test_two_that_fetch_at_once_both_get_the_model(
    workspace: Workspace, store: TrackingStore
) -> None:
    found: list[Path] = []
    copy = load_version(store, NAME, "1", workspace.versions).folder
    (copy / WEIGHTS).write_bytes(b"damaged")

    def fetch() -> None:
        found.append(load_version(store, NAME, "1", workspace.versions).folder)

    both = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert found == [copy] * 4
    assert identity(copy) == registry_state(store, NAME).models["1"]
    assert list(workspace.versions.iterdir()) == [copy]


def test_another_thread_waits_with_its_calls_to_another_store() -> None:
    seen = []

    def other() -> None:
        with fluent_calls_to("sqlite:///b.db"):
            seen.append(mlflow.get_tracking_uri())

    thread = threading.Thread(target=other)
    with fluent_calls_to("sqlite:///a.db"):
        thread.start()
        thread.join(0.2)
        assert (seen, mlflow.get_tracking_uri()) == ([], "sqlite:///a.db")
    thread.join()
    assert seen == ["sqlite:///b.db"]


def test_code_is_compared_by_its_hash_and_then_by_its_answers(
    workspace: Workspace, store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code() -> str:
        return load_version(store, NAME, "2", workspace.versions).code

    assert code() == AS_REGISTERED
    store.client.set_model_version_tag(NAME, "2", "hgmnet.code", "another")
    assert code() == AGREES
    folder = load_version(store, NAME, "2", workspace.versions).folder
    predictor, recorded = TorchPredictor.load(folder), (folder / FILE).read_text()
    assert first_difference(predictor, recorded) == ""
    other = TorchPredictor.load(load_version(store, NAME, "3", workspace.versions).folder)
    assert "image 1" in first_difference(other, recorded)
    answer = known_answers.answer
    warm = [{**row, "prob_benign": 0.5} for row in answer([b""], predictor, {})]
    monkeypatch.setattr(known_answers, "answer", lambda images, *_: warm * len(images))
    with pytest.raises(InvalidDataError, match="predicts differently with the installed code"):
        code()
    store.client.delete_model_version_tag(NAME, "2", ANSWERS)
    assert code() == UNBOUND


def registered_folder(workspace: Workspace, store: TrackingStore, number: str) -> Path:
    """A version's model folder where MLflow keeps it."""
    model = find_version(store, NAME, number).tags["hgmnet.model"]
    kept = (workspace.root / "mlartifacts").rglob(WEIGHTS)
    return next(file.parent for file in kept if identity(file.parent) == model)
