"""Register on a real store: what is recorded, what is registered, and what is refused."""

import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from PIL import Image

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, RejectedError
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations, record_evaluation
from pipelines.registry import verification, versions
from pipelines.registry.tracking_store import open_tracking_store, tracking_uri
from pipelines.stages import register
from tests.tiny_repository import judge, make_model, make_repository

NAME = "hgmnet-phantom"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository whose model has been registered, with what was printed in printed.txt."""
    workspace = make_repository(tmp_path_factory.mktemp("my repository"))
    record_evaluation(workspace, "model", "t" * 64, "hgmnet evaluate")
    (workspace.root / "dvc.yaml").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "register"],
        cwd=workspace.root,
        check=True,
        capture_output=True,
        text=True,
    )
    (workspace.root / "printed.txt").write_text(done.stdout)
    assert done.stderr == ""
    return workspace


@pytest.fixture
def workspace(registered: Workspace) -> Workspace:
    """The same, with the model registered and its gate passed, whatever the test before did."""
    make_model(registered, seed=0)
    judge(registered, "passed")
    run(registered)
    mlflow.set_tracking_uri(tracking_uri(registered.root))
    return registered


def run(workspace: Workspace) -> None:
    params = load_params(workspace.root / "params.yaml")
    address = os.environ.get("MLFLOW_TRACKING_URI")
    register.run(workspace.root, params.data, params.registry)
    assert os.environ.get("MLFLOW_TRACKING_URI") == address


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri(workspace.root))


def runs(workspace: Workspace):
    store = open_tracking_store(workspace.root, "phantom", 5)
    return list(store.client.search_runs([store.experiment_id]))


def numbers(workspace: Workspace) -> list[str]:
    found = client(workspace).search_model_versions(f"name = '{NAME}'")
    return sorted(str(version.version) for version in found)


def challenger(workspace: Workspace) -> str | None:
    version = client(workspace).get_registered_model(NAME).aliases.get("challenger")
    return None if version is None else str(version)


def test_what_is_printed(registered: Workspace):
    printed = (registered.root / "printed.txt").read_text()
    assert "phantom, test split: passed" in printed
    assert "Lesion Dice" in printed
    assert f"{NAME} version 1, challenger" in printed
    assert "1st evaluation on this test split; evaluated 2 times so far\n" in printed
    assert "came with these results" not in printed
    assert f"mlflow ui --backend-store-uri '{tracking_uri(registered.root)}'" in printed


def test_the_run_has_figures_params_lineage_and_files(workspace: Workspace, tmp_path: Path):
    (run,) = (r for r in runs(workspace) if r.data.tags["hgmnet.gate"] == "passed")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/lesion_dice"] == pytest.approx(0.75)
    assert run.data.metrics["test/lesion_dice_low"] == pytest.approx(0.7)
    assert "test/auroc_malignant" not in run.data.metrics
    assert run.data.params["train.loss.coarse"] == "0.5"
    assert run.data.params["model.decoder_channels"] == "[16, 16, 8, 8, 8]"
    assert run.data.tags["hgmnet.data_hash"] == "0123.dir"
    gate = hashlib.sha256(workspace.gate.read_bytes()).hexdigest()
    assert run.data.tags["hgmnet.gate_sha256"] == gate
    client(workspace).download_artifacts(run.info.run_id, "", str(tmp_path))
    for file in ("params.yaml", "pccp.yaml", "dvc.lock", "openings.jsonl"):
        assert (tmp_path / file).is_file()
    for path in (workspace.html, workspace.model_card, workspace.per_image, workspace.split_csv):
        assert (tmp_path / path.relative_to(workspace.root)).read_bytes() == path.read_bytes()


def test_the_version_carries_its_code_its_lineage_and_its_requirements(
    workspace: Workspace, tmp_path: Path
):
    version = client(workspace).get_model_version_by_alias(NAME, "challenger")
    assert version.tags["hgmnet.verified"] == "true"
    assert version.tags["hgmnet.openings"] == str(len(read_evaluations(workspace.openings)))
    rows = hashlib.sha256(workspace.per_image.read_bytes()).hexdigest()
    assert version.tags["hgmnet.per_image_sha256"] == rows
    assert version.tags["hgmnet.test_sha"] == "t" * 64
    found = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", dst_path=str(tmp_path)))
    assert (found / "code" / "hgmnet" / "inference" / "predictor.py").is_file()
    assert not (found / "code" / "pipelines").exists()
    assert not list(found.rglob("*.pkl"))
    requirements = (found / "requirements.txt").read_text().split()
    assert f"torch=={installed('torch').partition('+')[0]}" in requirements
    assert len(requirements) == 12


def test_the_model_answers_its_own_input_example(workspace: Workspace):
    """A synthetic image: MLflow's page shows it, and the page must show nobody's scan."""
    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    (row,) = model.predict(model.input_example).to_dict("records")
    assert row["error"] == ""
    assert row["decision"] in {"benign", "malignant", "normal"}


def test_the_run_has_only_settings_that_made_it(workspace: Workspace):
    (run,) = (r for r in runs(workspace) if r.data.tags["hgmnet.gate"] == "passed")
    sections = {name.partition(".")[0] for name in run.data.params}
    assert {"data", "phantom", "model", "train", "gate", "registry"} <= sections
    assert not {"promotion", "flow"} & sections


def test_the_same_again_changes_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    before = len(runs(workspace))
    monkeypatch.setattr(versions, "_verify", lambda *_: pytest.fail("verified again"))
    run(workspace)
    assert len(runs(workspace)) == before
    assert numbers(workspace) == ["1"]
    assert challenger(workspace) == "1"


def test_a_version_that_serves_is_named_champion(workspace: Workspace, capsys):
    client(workspace).set_registered_model_alias(NAME, "champion", "1")
    client(workspace).delete_registered_model_alias(NAME, "challenger")
    run(workspace)
    assert f"{NAME} version 1, champion\n" in capsys.readouterr().out
    client(workspace).delete_registered_model_alias(NAME, "champion")
    client(workspace).set_registered_model_alias(NAME, "challenger", "1")


def test_a_run_cut_short_is_written_anew(workspace: Workspace):
    (whole,) = (r for r in runs(workspace) if r.data.tags["hgmnet.gate"] == "passed")
    client(workspace).delete_tag(whole.info.run_id, "hgmnet.recorded")
    run(workspace)
    (again,) = (r for r in runs(workspace) if r.data.tags["hgmnet.gate"] == "passed")
    assert again.info.run_id != whole.info.run_id
    version = client(workspace).get_model_version(NAME, "1")
    assert version.tags["hgmnet.decision_run"] == again.info.run_id
    assert numbers(workspace) == ["1"]


def test_a_model_that_now_fails_keeps_its_version_and_loses_its_alias(
    workspace: Workspace, capsys: pytest.CaptureFixture
):
    judge(workspace, "failed", bound=0.65)
    with pytest.raises(RejectedError) as rejected:
        run(workspace)
    (recorded,) = (r for r in runs(workspace) if r.data.tags["hgmnet.gate"] == "failed")
    assert str(rejected.value) == (
        "Rejected, not an error: lesion Dice 0.600 < 0.65; recorded as run "
        f"{recorded.info.run_id}; report at reports/html/index.html"
    )
    assert "version 1, rejected" in capsys.readouterr().out
    assert numbers(workspace) == ["1"]
    assert challenger(workspace) is None
    assert client(workspace).get_model_version(NAME, "1").tags["hgmnet.gate"] == "failed"

    judge(workspace, "passed")
    run(workspace)
    assert (numbers(workspace), challenger(workspace)) == (["1"], "1")


def test_a_new_model_that_fails_is_only_recorded(workspace: Workspace):
    make_model(workspace, seed=1)
    judge(workspace, "failed", bound=0.66)
    with pytest.raises(RejectedError, match=r"0\.600 < 0\.66"):
        run(workspace)
    assert (numbers(workspace), challenger(workspace)) == (["1"], "1")


@pytest.mark.parametrize("status", ["passed", "failed"])
def test_in_an_experiment_a_model_is_only_recorded(workspace: Workspace, monkeypatch, status: str):
    """Neither registered nor an error: `dvc exp run` saves nothing where a stage fails."""
    make_model(workspace, seed=5)
    judge(workspace, status)
    monkeypatch.setenv("DVC_EXP_NAME", f"one-{status}")
    before = (numbers(workspace), challenger(workspace))
    run(workspace)
    run(workspace)
    assert (numbers(workspace), challenger(workspace)) == before
    (found,) = (
        r for r in runs(workspace) if r.info.run_name == f"experiment one-{status}, {status}"
    )
    assert found.data.tags["hgmnet.kind"] == "experiment"


def test_a_model_that_was_not_judged_is_only_recorded(
    workspace: Workspace, capsys: pytest.CaptureFixture
):
    make_model(workspace, seed=2)
    judge(workspace, "not judged")
    run(workspace)
    assert "the test split was not evaluated" in capsys.readouterr().out
    assert any(r.data.tags["hgmnet.gate"] == "not judged" for r in runs(workspace))
    assert (numbers(workspace), challenger(workspace)) == (["1"], "1")


def test_a_name_belongs_to_one_data_set(workspace: Workspace):
    store = open_tracking_store(workspace.root, "busi", 5)
    with pytest.raises(ConfigError, match="has models of the data set phantom"):
        versions.check_owner(store, NAME, "busi")
    versions.check_owner(store, "hgmnet-busi", "busi")


def test_figures_of_another_data_set_are_refused(workspace: Workspace):
    params = load_params(workspace.root / "params.yaml")
    gate = workspace.gate.read_text()
    workspace.gate.write_text(gate.replace('"phantom"', '"busi"'))
    with pytest.raises(ConfigError, match="is on a model of busi"):
        register.run(workspace.root, params.data, params.registry)


def test_packed_code_that_answers_otherwise_is_not_registered(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    changed = tmp_path / "hgmnet"
    shutil.copytree(versions.CODE, changed, ignore=shutil.ignore_patterns("__pycache__"))
    file = changed / "inference" / "postprocess.py"
    code = file.read_text().replace("operating.temperature", "(2 * operating.temperature)")
    assert code != file.read_text()
    file.write_text(code)
    monkeypatch.setattr(versions, "CODE", changed)
    make_model(workspace, seed=3)
    with pytest.raises(RuntimeError, match="predicts differently"):
        run(workspace)
    assert (numbers(workspace), challenger(workspace)) == (["1"], "1")


def test_a_fresh_process_takes_no_code_but_the_versions_own(workspace: Workspace, tmp_path: Path):
    bare = tmp_path / "bare"
    source = f"models:/{NAME}/1"
    mlflow.artifacts.download_artifacts(source, dst_path=str(bare))
    shutil.rmtree(bare / "code" / "hgmnet")
    with pytest.raises(RuntimeError, match="not from the version's own code"):
        verification.predict_in_fresh_process(tracking_uri(workspace.root), bare.as_uri(), [png()])


def test_an_unreachable_server_is_one_line(registered: Workspace, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(ConfigError, match="everything is on disk") as raised:
            run(registered)
    assert "\n" not in str(raised.value)
    assert address in str(raised.value)


def test_a_database_that_is_none_is_one_line(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("no database" * 100)
    with pytest.raises(ConfigError, match="can't be used"):
        register.connect_with_retries(tmp_path, "phantom")


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 30)).save(file, "PNG")
    return file.getvalue()
