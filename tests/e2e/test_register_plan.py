"""Register on a real store: the change plan, and the openings of the test split."""

import hashlib

import pytest
from mlflow import MlflowClient

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, RejectedError
from hgmnet.models.spec import identity
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations, record_evaluation
from pipelines.registry import versions
from pipelines.registry.test_evaluations import forward
from pipelines.registry.tracking_store import open_tracking_store, tracking_uri
from pipelines.stages import register
from tests.change_plans import write_plans
from tests.tiny_repository import TEST_SHA, judge, make_model, make_repository

NAME = "hgmnet-phantom"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository whose model was the second to see the test split, and is registered."""
    root = tmp_path_factory.mktemp("repository")
    record_evaluation(Workspace(root, "phantom"), "another", TEST_SHA, "hgmnet evaluate")
    workspace = make_repository(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "_verify", lambda *_: None)  # test_register.py's matter; 20 s
        run(workspace)
    return workspace


@pytest.fixture
def workspace(registered: Workspace) -> Workspace:
    """The same, whatever the test before did."""
    make_model(registered, seed=0)
    write_plans(registered.root)
    judge(registered, "passed")
    return registered


def run(workspace: Workspace) -> None:
    params = load_params(workspace.root / "params.yaml")
    register.run(workspace.root, params.data, params.registry)


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri(workspace.root))


def first(workspace: Workspace):
    return client(workspace).get_model_version(NAME, "1")


def test_the_version_says_which_opening_it_was_and_the_hash_of_its_plan(workspace: Workspace):
    version = first(workspace)
    assert (version.tags["hgmnet.opening"], version.tags["hgmnet.openings"]) == ("2", "2")
    assert "2nd evaluation on this test split." in version.description
    plan = hashlib.sha256(workspace.change_plan.read_bytes()).hexdigest()
    assert version.tags["hgmnet.pccp_sha256"] == plan
    assert version.tags["hgmnet.revalidate"] == "no"


def test_openings_of_all_checkouts_add_up_and_are_appended_once(workspace: Workspace, tmp_path):
    store = open_tracking_store(workspace.root, "phantom", 5)
    here = read_evaluations(workspace.openings)
    assert forward(store, here) == sorted(here, key=lambda opening: opening.when)

    elsewhere = Workspace(tmp_path, "phantom")
    twice = [record_evaluation(elsewhere, "other", TEST_SHA, "hgmnet evaluate")] * 2
    for _ in range(2):
        assert len(forward(store, twice)) == len(here) + 2
    run(workspace)
    version = first(workspace)
    assert version.tags["hgmnet.openings"] == str(len(here) + 2)

    for found in store.client.search_runs([store.experiment_id]):
        store.client.delete_run(found.info.run_id)
    assert len(forward(store, [])) == len(here) + 2


def test_too_many_openings_ask_for_a_new_validation(
    workspace: Workspace, capsys: pytest.CaptureFixture
):
    write_plans(workspace.root, revalidate={"openings_above": 1})
    judge(workspace, "passed")
    run(workspace)
    version = first(workspace)
    assert version.tags["hgmnet.revalidate"] == "revalidate.openings_above"
    assert (
        "validate again  revalidate.openings_above: the test split was" in capsys.readouterr().out
    )


def test_a_model_outside_its_plan_is_recorded_and_refused(workspace: Workspace):
    make_model(workspace, seed=4)
    reason = "it predicts benign, malignant, normal; planned: benign, malignant"
    write_plans(workspace.root, fixed={"classes": ["benign", "malignant"]})
    judge(workspace, "failed", bound=0.5)
    with pytest.raises(
        RejectedError, match=rf"outside pccp\.yaml, clause fixed\.classes: {reason};"
    ):
        run(workspace)
    model = identity(workspace.model)
    store = open_tracking_store(workspace.root, "phantom", 5)
    query = f"tags.`hgmnet.model` = '{model}'"
    (recorded,) = store.client.search_runs([store.experiment_id], query)
    assert recorded.data.tags["hgmnet.gate"] == "failed"
    assert [str(v.version) for v in store.client.search_model_versions("")] == ["1"]


def test_a_plan_that_the_gate_has_not_read_is_refused(workspace: Workspace):
    write_plans(workspace.root, intended_use="something else")
    with pytest.raises(
        ConfigError, match=r"pccp\.yaml was changed since the gate read it; run `dvc"
    ):
        run(workspace)
