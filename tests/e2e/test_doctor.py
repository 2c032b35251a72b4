"""`hgmnet doctor` in real little checkouts: each thing wrong has a line that says what to do."""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError
from pipelines.cli import maintenance
from pipelines.operations import doctor
from pipelines.operations.doctor import tracking

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkout")
    for name in ("dvc.yaml", "params.yaml", "pccp.yaml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, root)
    (root / "data" / "phantom" / "raw").mkdir(parents=True)
    (root / "data" / "phantom" / "raw" / "image.png").touch()
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    _git(root, "add", ".")
    _git(root, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x")
    return root


def _git(root, *words):
    subprocess.run(["git", "-C", root, *words], check=True)


@pytest.fixture
def root(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "checkout")


@pytest.fixture
def told(root, capsys):
    """Run the doctor; its lines, and what it raised."""

    def ask():
        try:
            maintenance.run_doctor(root, argparse.Namespace())
        except ConfigError as error:
            return capsys.readouterr().out.splitlines(), str(error)
        return capsys.readouterr().out.splitlines(), ""

    return ask


def line(lines, words):
    (found,) = [line for line in lines if words in line]
    return found


def test_a_sound_checkout_has_nothing_to_mend(root, told):
    lines, error = told()
    assert error == ""
    assert line(lines, "git: ") == "ok    git: everything committed"
    assert line(lines, "DVC ").startswith("note  DVC has no remote")
    assert "ok    data set phantom" in lines
    assert f"ok    MLflow at sqlite:///{root}/mlflow.db" in lines
    assert any("GiB memory" in line for line in lines)


def test_a_changed_file_and_a_remote_are_told(root, told):
    (root / "notes.txt").touch()
    command = [sys.executable, "-m", "dvc", "remote", "add", "-d", "store", str(root.parent / "s")]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    lines, error = told()
    assert error == ""
    assert line(lines, "git: ").startswith("note  git: 2 changes not committed")
    assert "ok    DVC, remote store" in lines


def test_everything_amiss_is_told_at_once(root, told, monkeypatch):
    shutil.rmtree(root / ".dvc")
    shutil.rmtree(root / "data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    lines, error = told()
    assert error == "3 things must be mended first: see the lines that begin with `mend`"
    assert line(lines, "dvc init").startswith("mend")
    assert "mend  data set phantom is missing: hgmnet import phantom <folder or zip>" in lines
    assert line(lines, "can't keep records").startswith("mend")


def test_no_repository(root, told):
    shutil.rmtree(root / ".git")
    lines, error = told()
    assert error.startswith("1 thing must be mended")
    assert line(lines, "git init").startswith("mend")


def test_data_that_dvc_knows_is_pulled(root, told):
    (root / "data/phantom/raw").rename(root / "elsewhere")
    (root / "data/phantom/raw.dvc").touch()
    lines, _ = told()
    assert "mend  data/phantom/raw is not here: dvc pull" in lines


def test_data_that_dvc_makes_need_not_be_there(root, told):
    (root / "data/phantom/raw").rename(root / "elsewhere")
    (root / "data/phantom/dvc.yaml").touch()
    lines, error = told()
    assert error == ""
    assert "ok    data set phantom" in lines


def test_unknown_settings_are_named(root, told):
    with (root / "params.yaml").open("a") as file:
        file.write("colour: blue\n")
    lines, _ = told()
    assert line(lines, "params.yaml").endswith("colour: unknown key")


def test_settings_outside_the_change_plan_are_told_before_a_training(root, told):
    assert "ok    pccp.yaml, plan of hgmnet-phantom" in told()[0]
    params = root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("input: grey", "input: rgb"))
    lines, error = told()
    assert error.startswith("1 thing must be mended")
    assert line(lines, "refused by pccp.yaml").endswith(
        "clause fixed.input.channels: it takes rgb; planned: grey; docs/gate.md"
    )
    params.write_text(before.replace("name: hgmnet-phantom", "name: hgmnet-clinic"))
    lines, _ = told()
    assert "clause plans: there is no plan for hgmnet-clinic;" in line(lines, "refused by pccp")
    (root / "pccp.yaml").unlink()
    lines, _ = told()
    assert line(lines, "pccp.yaml").startswith("mend")


def test_locks_tell_a_killed_process_from_one_at_work(root, told):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    by = [{"pid": dead.pid, "cmd": "dvc repro"}, {"pid": os.getpid(), "cmd": "dvc push"}]
    lock = root / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"write": {"a": by[0]}, "read": {"b": [by[1]], "c": by}}))
    lines, error = told()
    assert error == ""
    assert line(lines, "was killed").startswith(f"note  `dvc repro` (PID {dead.pid})")
    assert line(lines, "is at work").startswith(f"note  `dvc push` (PID {os.getpid()})")
    lock.write_text("{")
    lines, _ = told()
    assert line(lines, f"rm {lock}").startswith("mend")


class _Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_server_that_answers_is_shown_without_its_password():
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        finding = tracking(f"http://me:secret@127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert finding.status == "ok"
    assert finding.says == f"MLflow at http://127.0.0.1:{server.server_port}"


def test_a_server_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "SERVER_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        silent = tracking(f"http://127.0.0.1:{port}")
    refused = tracking(f"http://127.0.0.1:{port}")
    assert "does not answer (timed out); start it" in silent.says
    assert "refused" in refused.says
    assert {silent.status, refused.status} == {"mend"}


def test_a_database_that_is_not_there_is_told_without_its_password():
    finding = tracking("postgresql+pg8000://me:secret@127.0.0.1:1/mlflow")
    assert finding.status == "mend"
    assert finding.says.startswith("MLflow at postgresql+pg8000://127.0.0.1:1/mlflow can't be used")
    assert "secret" not in finding.says


def test_the_command_says_how_many_things_must_be_mended(root):
    shutil.rmtree(root / "data")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "doctor"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("hgmnet: Config: 1 thing must be mended first")
