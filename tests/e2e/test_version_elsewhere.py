"""A registered version outside this checkout: in a bare environment, and behind MLflow's server."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from hgmnet.config.params import load_params
from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import verification
from pipelines.stages import register
from tests.servers import free_port
from tests.source_files import dicom_file
from tests.tiny_repository import make_repository

pytestmark = [pytest.mark.slow, pytest.mark.long]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
LOAD_BACK = Path(verification.__file__).with_name("_predict_in_fresh_process.py")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Version 1 serves."""
    workspace = make_repository(tmp_path_factory.mktemp("repository"))
    params = load_params(workspace.root / "params.yaml")
    register.run(workspace.root, params.data, params.registry)
    promote(open_comparer(workspace.root, None), Request())
    return workspace


@pytest.fixture(scope="module")
def phantoms(workspace: Workspace) -> list[bytes]:
    return [path.read_bytes() for path in sorted(workspace.raw.rglob("*.png"))]


@pytest.fixture(scope="module", params=["phantom", "busi"])
def images(request: pytest.FixtureRequest, phantoms: list[bytes]) -> list[bytes]:
    if request.param == "phantom":
        return phantoms
    folder = request.getfixturevalue("busi")
    names = ("benign/benign (1).png", "malignant/malignant (1).png", "normal/normal (1).png")
    return [(folder / name).read_bytes() for name in names]


def environment(workspace: Workspace) -> dict[str, str]:
    """As a user's shell has it, with the store named as docs/serving.md says."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    store = f"sqlite:///{workspace.root / 'mlflow.db'}"
    return kept | {"PATH": path, "MLFLOW_TRACKING_URI": store}


def test_it_loads_where_there_is_no_checkout(
    workspace: Workspace, phantoms: list[bytes], tmp_path: Path
) -> None:
    """Another environment, which has this one's packages but not this one."""
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    site = next((tmp_path / "bare").glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    kept = environment(workspace)
    where = {"cwd": tmp_path, "env": kept, "capture_output": True, "text": True}
    alone = subprocess.run([python, "-c", "import hgmnet"], check=False, **where)
    assert "No module named 'hgmnet'" in alone.stderr
    for number, image in enumerate(phantoms):
        (tmp_path / "inputs").mkdir(exist_ok=True)
        (tmp_path / "inputs" / f"{number:06}").write_bytes(image)
    words = ["models:/hgmnet-phantom@champion", "inputs", "answers.json"]
    done = subprocess.run([python, LOAD_BACK, *words], check=False, **where)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "answers.json").read_text())
    assert_same(rows, phantoms, workspace)


@pytest.fixture(scope="module")
def port(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`mlflow models serve` as docs/serving.md has it, at a free port."""
    found = free_port()
    folder = tmp_path_factory.mktemp("served")
    (line,) = re.findall(r"^mlflow models serve .*$", DOCS.read_text(), re.MULTILINE)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            line.replace("5001", str(found)).split(),
            cwd=folder,
            env=environment(workspace),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{found}/ping", process, folder / "log")
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(log.read_text())


def curl(port: int, folder: Path, file: str) -> str:
    """What the line of docs/serving.md prints."""
    section = DOCS.read_text().partition("## `mlflow models serve`")[2]
    (line,) = re.findall(r"^printf .*\n.*/invocations$", section, re.MULTILINE)
    line = line.replace("5001", str(port)).replace("scan.png", file).replace("curl", "curl -s")
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()


def test_mlflows_server_answers_the_documented_line(
    workspace: Workspace, port: int, images: list[bytes], tmp_path: Path
) -> None:
    rows = []
    for image in images:
        (tmp_path / "scan").write_bytes(image)
        rows += json.loads(curl(port, tmp_path, "scan"))["predictions"]
    assert_same(rows, images, workspace)


def test_mlflows_server_reads_jpeg_and_dicom_and_outlives_what_is_no_image(
    workspace: Workspace, port: int, images: list[bytes], tmp_path: Path
) -> None:
    grey = decode_grey(images[0], "scan")
    jpeg = io.BytesIO()
    Image.fromarray(grey).save(jpeg, "JPEG")
    (tmp_path / "bad").write_bytes(b"no image")
    assert "row 0 can't be decoded" in curl(port, tmp_path, "bad")
    dicom = dicom_file(grey)
    for name, data in (("scan.jpg", jpeg.getvalue()), ("scan.dcm", dicom)):
        (tmp_path / name).write_bytes(data)
        (row,) = json.loads(curl(port, tmp_path, name))["predictions"]
        assert_same([row], [jpeg.getvalue() if name == "scan.jpg" else images[0]], workspace)


def assert_same(rows: list[dict], images: list[bytes], workspace: Workspace) -> None:
    """Probabilities within 1e-4 and masks on 99.9 % of the pixels, as the model folder says."""
    greys = [decode_grey(image, "image") for image in images]
    findings = TorchPredictor.load(workspace.model).predict(greys)
    for row, finding in zip(rows, findings, strict=True):
        for name, prob in finding.probs.items():
            assert row[f"prob_{name}"] == pytest.approx(prob, abs=1e-4)
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["mask_png"])))) > 127
        assert (mask == finding.mask).mean() >= 0.999
        assert row["decision"] == finding.decision
