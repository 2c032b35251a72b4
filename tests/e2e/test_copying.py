"""A version copied to another MLflow, as from development to production."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.models.spec import identity
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import test_evaluations
from pipelines.registry.copying import copy_version
from pipelines.registry.download import download
from pipelines.registry.evidence import fetch_evidence
from pipelines.registry.tracking_store import TrackingStore, open_store_at, open_tracking_store
from pipelines.registry.versions import find_version
from tests.run_here import must_run
from tests.servers import mlflow_server
from tests.three_versions import NAME, give_three_versions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return give_three_versions(tmp_path_factory.mktemp("development") / "repository")


@pytest.fixture(scope="module")
def store(space: Workspace) -> TrackingStore:
    return open_tracking_store(space.root, "phantom", 5)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("production")) as url:
        yield url


def test_a_copy_is_the_same_model_with_the_same_evidence(
    space: Workspace, store: TrackingStore, production: str, tmp_path: Path
) -> None:
    said = must_run(space.root, "publish", "--registry", production, "--version", "2").out
    assert f"{NAME} version 2, as version 1 of {production}, is now its challenger" in said

    client = MlflowClient(production)
    assert client.get_registered_model(NAME).aliases == {"challenger": "1"}
    copied, original = client.get_model_version(NAME, "1"), find_version(store, NAME, "2")
    for tag in ("model", "gate", "evidence_sha256", "test_sha", "git_commit"):
        assert copied.tags[f"hgmnet.{tag}"] == original.tags[f"hgmnet.{tag}"]
    assert copied.tags["hgmnet.copied_from"].endswith("mlflow.db, version 2")
    assert f"runs/{copied.run_id}/artifacts" in copied.description
    assert str(original.run_id) not in copied.description

    there = open_store_at(space.root, production, "phantom")
    assert (fetch_evidence(there, copied, tmp_path) / "reports" / "gate.json").is_file()
    counted = test_evaluations.count_in(store, original.tags["hgmnet.test_sha"])
    assert test_evaluations.count_in(there, original.tags["hgmnet.test_sha"]) == counted
    run, before = client.get_run(copied.run_id), store.client.get_run(original.run_id)
    assert run.data.metrics == before.data.metrics
    assert run.data.params == before.data.params

    again = copy_version(space.root, store, NAME, "2", production)
    assert (again.there, again.new) == ("1", False)


def test_production_decides_on_its_own(
    space: Workspace, production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history begins there, and its files are the model's."""
    copy_version(space.root, open_tracking_store(space.root, "phantom", 5), NAME, "2", production)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", production)
    _, link = promote(open_comparer(space.root, None), Request("1"))
    assert (link.number, link.entry and link.entry.champion) == (1, "1")
    there = open_tracking_store(space.root, "phantom", 60)
    version = find_version(there, NAME, "1")
    assert identity(download(there, version, tmp_path)) == version.tags["hgmnet.model"]


def test_what_is_no_longer_as_registered_is_not_copied(
    space: Workspace, store: TrackingStore, production: str
) -> None:
    with pytest.raises(ConfigError, match="is the registry that hgmnet-phantom is in already"):
        copy_version(space.root, store, NAME, "3", store.uri)
    with pytest.raises(ConfigError, match=r"expected http://host:port or sqlite:////"):
        copy_version(space.root, store, NAME, "3", "file:///nowhere")
    run = find_version(store, NAME, "3").tags["hgmnet.decision_run"]
    (file,) = (space.root / "mlartifacts").glob(f"{run}/artifacts/reports/gate.json")
    file.write_text("{}")
    with pytest.raises(InvalidDataError, match=r"reports/gate.json .* is not the file"):
        copy_version(space.root, store, NAME, "3", production)
    store.client.set_model_version_tag(NAME, "3", "hgmnet.gate", "failed")
    with pytest.raises(ConfigError, match="version 3 has not passed its gate"):
        copy_version(space.root, store, NAME, "3", production)
    found = MlflowClient(production).search_model_versions(f"name = '{NAME}'")
    assert not [one for one in found if one.tags["hgmnet.copied_from"].endswith("version 3")]
