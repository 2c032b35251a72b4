"""Live curves in a real MLflow store, and what happens where there is none."""

import math
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.registry.live_curves import LiveCurves
from pipelines.registry.tracking_store import open_tracking_store, tracking_uri

PARAMS = {f"train.p{i}": i for i in range(130)}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; to make one takes seconds, to copy it none."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def own_store(database: Path, tmp_path: Path):
    shutil.copy(database, tmp_path)


def runs(root: Path):
    store = open_tracking_store(root, "phantom", 5)
    return store.client, list(store.client.search_runs([store.experiment_id]))


def test_one_run_with_params_and_a_point_an_epoch(tmp_path: Path):
    curves = LiveCurves(tmp_path, "phantom", "f" * 64, PARAMS)
    for epoch in (1, 2):
        curves.log(epoch, {"train_loss": 1 / epoch, "val_lesion_dice": math.nan})
    curves.finish("FINISHED")

    client, (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.tags["hgmnet.fingerprint"] == "f" * 64
    assert run.data.params == {name: str(value) for name, value in PARAMS.items()}
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]


def test_a_resumed_training_continues_its_run(tmp_path: Path):
    LiveCurves(tmp_path, "phantom", "f", PARAMS).log(1, {"train_loss": 1.0})
    resumed = LiveCurves(tmp_path, "phantom", "f", PARAMS)
    resumed.log(2, {"train_loss": 0.5})
    resumed.finish("FINISHED")
    LiveCurves(tmp_path, "phantom", "other", PARAMS)

    client, found = runs(tmp_path)
    (run,) = (run for run in found if run.data.tags["hgmnet.fingerprint"] == "f")
    assert len(found) == 2
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 2


@pytest.mark.timeout(60)
def test_a_training_has_the_machines_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = monitors()  # of trainings that other tests never ended
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    curves = LiveCurves(tmp_path, "phantom", "f", {})
    load = "system/cpu_utilization_percentage"
    while load not in runs(tmp_path)[1][0].data.metrics:  # as long as it takes
        time.sleep(0.05)
    curves.finish("FINISHED")
    assert monitors() <= before

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    switched_off = LiveCurves(tmp_path, "phantom", "g", {})
    assert monitors() <= before
    switched_off.finish("FINISHED")


def monitors() -> set[int | None]:
    return {one.ident for one in threading.enumerate() if one.name == "SystemMetricsMonitor"}


def test_a_run_of_another_store_is_not_continued(tmp_path: Path):
    memo = tmp_path / ".hgmnet" / "checkpoints" / "f" / "mlflow_run"
    memo.parent.mkdir(parents=True)
    memo.write_text("0123456789abcdef0123456789abcdef\n")
    LiveCurves(tmp_path, "phantom", "f", {}).finish("KILLED")
    _, (run,) = runs(tmp_path)
    assert memo.read_text().strip() == run.info.run_id
    assert run.info.status == "KILLED"


@pytest.mark.timeout(60)
def test_a_server_that_is_down_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
        report_all(LiveCurves(tmp_path, "phantom", "f", PARAMS))
    assert_one_line(capsys)


@pytest.mark.timeout(60)
def test_a_server_that_never_answers_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        report_all(LiveCurves(tmp_path, "phantom", "f", PARAMS))
    assert_one_line(capsys)


def test_a_store_that_fails_midway_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture):
    curves = LiveCurves(tmp_path, "phantom", "f", PARAMS)
    curves.log(1, {"train_loss": 1.0})
    _, (run,) = runs(tmp_path)
    MlflowClient(tracking_uri(tmp_path)).delete_run(run.info.run_id)
    report_all(curves)
    assert_one_line(capsys)


def report_all(curves: LiveCurves) -> None:
    for epoch in range(2, 30):
        curves.log(epoch, {"train_loss": 1.0})
    curves.finish("FINISHED")


def assert_one_line(capsys: pytest.CaptureFixture) -> None:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hgmnet: no live curves in MLflow, training goes on: ")
