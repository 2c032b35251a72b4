"""README on versions and predictions, typed as it is written there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from hgmnet.data.images import decode_grey
from pipelines.artifacts.paths import Workspace
from tests.servers import free_port
from tests.source_files import dicom_file
from tests.three_versions import give_three_versions

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Version 1 serves, 3 is challenger; there are the scans that README speaks of."""
    workspace = give_three_versions(tmp_path_factory.mktemp("readme") / "repository")
    root = workspace.root
    scan = (workspace.raw / "benign" / "benign (1).png").read_bytes()
    for name in ("data/phantom/raw/malignant/malignant (1).png", "scans/a.png", "more/b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(scan)
    shutil.copy(root / "scans" / "a.png", root / "scan.png")
    (root / "one.dcm").write_bytes(dicom_file(decode_grey(scan, "scan")))
    return workspace


@pytest.fixture(scope="module", params=["phantom", "busi"])
def scans(request: pytest.FixtureRequest, workspace: Workspace) -> Path:
    """The folder of scans, holding BUSI's where it is here."""
    folder = workspace.root / "scans"
    if request.param == "busi":
        real = request.getfixturevalue("busi")
        for name in ("benign/benign (2).png", "normal/normal (3).png"):
            shutil.copy(real / name, folder)
    return folder


def blocks(word: str, kind: str = "") -> list[str]:
    """README's code blocks of this kind that contain this word."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == kind and word in block]


def shell(root: Path, command: str, status: int = 0) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in {"MLFLOW_TRACKING_URI", "PYTHONPATH"}}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=root,
        env=kept | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_five_lines_of_python(workspace: Workspace) -> None:
    examples = [*blocks("mlflow.pyfunc.load_model", "python"), *blocks("Predictor.load", "python")]
    assert len(examples) == 2
    table, line = (shell(workspace.root, f"python - <<'END'\n{e}END") for e in examples)
    assert "[1 rows x 18 columns]" in table
    assert line.split()[0] in {"benign", "malignant", "normal"}


def test_predicting_files(workspace: Workspace, scans: Path) -> None:
    (block,) = blocks("hgmnet predict scans/")
    shutil.rmtree(workspace.root / "found", ignore_errors=True)
    shell(workspace.root, block)
    rows = pd.read_csv(workspace.root / "found" / "predictions.csv")
    assert len(rows) == len(list(scans.iterdir())) + 2
    assert rows["error"].isna().all()
    assert len(list((workspace.root / "found").glob("*_mask.png"))) == len(rows)


def test_exporting(workspace: Workspace) -> None:
    (block,) = blocks("hgmnet export ")
    said = shell(workspace.root, block)
    assert "prob" in said or "benign" in said
    assert (workspace.root / "model.onnx").stat().st_size > 1_000_000


def test_serving(workspace: Workspace) -> None:
    (block,) = blocks("hgmnet serve ")
    serve, curl = block.replace("8080", str(port := free_port())).splitlines()
    serve = serve.partition("#")[0].strip() + f" --port {port}"
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    program = str(Path(sys.executable).parent / "hgmnet")
    with subprocess.Popen(
        [program, *serve.split()[1:]],
        cwd=workspace.root,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert f":{port}" in server.stdout.readline()
        for _ in range(100):
            try:
                answer = shell(workspace.root, f"{curl} --silent --fail")
                break
            except AssertionError:
                time.sleep(0.2)
        server.send_signal(signal.SIGINT)
    assert '"version":"1"' in answer.replace(" ", "")
    assert '"mask_png"' in answer


def test_who_serves(workspace: Workspace) -> None:
    """Last: it moves the champion."""
    (block,) = blocks("hgmnet promote --dry-run")
    client = MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
    said = {line.partition("#")[0].strip(): "" for line in block.splitlines()}
    for line in said:
        if "--approve" in line:  # what is written beside the line before, as its alternative
            client.set_registered_model_alias("hgmnet-phantom", "challenger", "2")
        if "--adopt" in line:
            client.set_registered_model_alias("hgmnet-phantom", "champion", "3")
        said[line] = shell(workspace.root, line)
    assert "champion" in said["hgmnet versions"]
    assert "version 3 serves from now on" in said["hgmnet promote"]
    assert "version 2 serves from now on" in said['hgmnet promote --approve --reason "..."']
    assert "version 1 serves again, after version 3" in said['hgmnet rollback --reason "..."']
    assert "3" in said['hgmnet promote --adopt --reason "..."']
    assert "every link holds" in said["hgmnet history"]
