"""`hgmnet serve`: what it answers and refuses, and how another champion takes over under load."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from hgmnet.data.images import decode_grey
from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from tests.one_version import make_one_version
from tests.run_here import run_here
from tests.source_files import dicom_file
from tests.tiny_repository import make_model, make_repository

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def images(workspace) -> list[bytes]:
    return [path.read_bytes() for path in sorted(workspace.raw.rglob("*.png"))]


@pytest.fixture(scope="module")
def holder(workspace):
    return ModelSlot(load_folder(workspace.model))


@pytest.fixture
def client(holder):
    return TestClient(build_app(holder))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_jpeg(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).save(file, "JPEG", quality=100)
    return file.getvalue()


def test_one_image_as_it_is(client, holder, images):
    row = client.post("/predict", content=images[0]).json()
    finding = holder.served.predictor.predict([decode_grey(images[0], "i")])[0]
    assert row["decision"] == finding.decision
    assert row["prob_benign"] == pytest.approx(finding.probs["benign"])
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["mask_png"]))))
    np.testing.assert_array_equal(mask > 127, finding.mask)
    assert row["model_sha256"] == holder.served.predictor.identity
    assert row["malignant_threshold"] == holder.served.predictor.operating.malignant_threshold


def test_dicom_and_jpeg_are_images_too(client, images):
    grey = decode_grey(images[0], "i")
    png, dicom = (client.post("/predict", content=c).json() for c in (images[0], dicom_file(grey)))
    assert dicom["prob_benign"] == png["prob_benign"]
    assert client.post("/predict", content=as_jpeg(images[0])).status_code == 200


def test_an_image_as_the_file_of_a_form(client, images):
    plain = client.post("/predict", content=images[0]).json()
    cut = images[0] + b"\r\n--\r\n"  # bytes after a PNG's end are not read
    form = {"files": {"scan": ("M\u00fcller.png", cut)}, "data": {"note": "x"}}
    assert client.post("/predict", **form).json() == plain
    two = {name: (f"{name}.png", images[0]) for name in "ab"}
    for files in (two, {"a": ("a.png", b"")}):
        refused = client.post("/predict", files=files)
        assert refused.status_code == 400
        assert "expected: curl -F image=@FILE" in refused.json()["detail"]
    kind = {"content-type": "multipart/form-data"}
    assert client.post("/predict", content=images[0], headers=kind).status_code == 400


def test_one_frame_of_several(client, images):
    pages = [Image.open(io.BytesIO(image)) for image in images[:2]]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    for number, image in enumerate(images[:2], start=1):
        done = client.post(f"/predict?frame={number}", content=file.getvalue())
        assert done.json() == client.post("/predict", content=image).json()
    for query, problem in (("", "has 2 frames"), ("?frame=3", "give a number from 1 to 2")):
        refused = client.post(f"/predict{query}", content=file.getvalue())
        assert refused.status_code == 400
        assert problem in refused.json()["detail"]


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_each_form_of_a_batch_and_a_bad_image_among_good_ones(client, images, form):
    rows = [text(images[0]), text(b"no image"), text(images[1])]
    bodies = {
        "dataframe_split": {"columns": ["image"], "data": [[row] for row in rows]},
        "dataframe_records": [{"image": row} for row in rows],
        "instances": [{"image": row} for row in rows],
        "inputs": rows,
    }
    done = client.post("/invocations", json={form: bodies[form]})
    found = done.json()["predictions"]
    assert done.status_code == 200
    assert [bool(row["error"]) for row in found] == [False, True, False]
    assert found[1]["decision"] is None
    assert "row 1 can't be decoded" in found[1]["error"]
    alone = [client.post("/predict", content=image).json() for image in images[:2]]
    assert [found[0], found[2]] == [pytest.approx(row) for row in alone]


def bomb() -> bytes:
    """A PNG whose header promises 64,008,000 pixels."""
    file = io.BytesIO()
    Image.new("1", (8_001, 8_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("wrong", "status", "told"),
    [
        (("/predict", {"content": b""}), 400, "the body is empty"),
        (("/predict", {"content": b"no image"}), 400, "can't be decoded"),
        (("/predict", {"content": bomb()}), 400, "at most 64,000,000 pixels"),
        (("/invocations", {"json": {"inputs": []}}), 400, "no row"),
        (("/invocations", {"json": {"inputs": ["%"]}}), 400, "not base64"),
        (("/invocations", {"json": {"inputs": [3]}}), 400, "row 0 is int"),
        (("/invocations", {"json": {"instances": [{"picture": ""}]}}), 400, "got: picture"),
        (("/invocations", {"json": {"inputs": ["x"] * 257}}), 413, "at most 256"),
        (("/invocations", {"json": {"images": []}}), 422, "images"),
        (("/invocations", {"content": b"{"}), 422, "body"),
    ],
)
def test_what_is_wrong_is_told_and_the_server_lives_on(client, images, wrong, status, told):
    path, body = wrong
    done = client.post(path, **body)
    assert done.status_code == status
    assert told in done.text
    assert client.post("/predict", content=images[0]).status_code == 200


def test_a_body_that_is_too_large_is_not_read(client):
    done = client.post("/predict", content=b"x", headers={"content-length": str(2**40)})
    assert done.status_code == 413


def test_another_model_takes_over_and_no_request_is_lost(workspace, images, tmp_path):
    """200 requests from 8 clients, the model exchanged half-way."""
    first = load_folder(workspace.model)
    make_model(workspace, seed=1)
    second = load_folder(workspace.model)
    make_model(workspace, seed=0)
    expected = {
        served.predictor.identity: [
            served.predictor.predict([decode_grey(image, "i")])[0].probs["benign"]
            for image in images
        ]
        for served in (first, second)
    }
    holder = ModelSlot(first)
    half = threading.Event()
    looked = []

    def exchange():
        looked.append(True)
        return second if half.is_set() else None

    holder.watch(exchange, 0.02)

    def ask(number: int) -> str:
        if number == 100:
            half.set()
        row = client.post("/predict", content=images[number % len(images)]).json()
        right = expected[row["model_sha256"]][number % len(images)]
        assert row["prob_benign"] == pytest.approx(right, abs=1e-6)
        return row["model_sha256"]

    with TestClient(build_app(holder)) as client, ThreadPoolExecutor(8) as pool:
        said = list(pool.map(ask, range(200)))
    holder.stop()
    assert len(looked) > 1
    assert set(said) == set(expected)
    assert said[0] == first.predictor.identity
    assert said[-1] == second.predictor.identity


def test_a_registry_that_is_down_is_told_and_the_model_goes_on(workspace):
    holder = ModelSlot(load_folder(workspace.model))
    client = TestClient(build_app(holder))

    def look():
        raise OSError("no route to the registry")

    holder.watch(look, 0.01)
    for _ in range(500):
        if client.get("/health").json()["fault"]:
            break
        time.sleep(0.01)
    holder.stop()
    assert client.get("/health").json()["fault"] == "no route to the registry"


@pytest.fixture
def full(tmp_path):
    """A repository with version 1, in which the disk for models that are served is full."""
    space = make_one_version(tmp_path / "repository")
    space.versions.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(space.versions)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk needs root")
    yield space
    subprocess.run(["umount", "-l", str(space.versions)], check=True)


def test_a_full_disk_at_the_start_is_one_line(full):
    ended = run_here(full.root, "serve", "--port", "0", "--version", "1")
    assert ended.status == 1, ended.err
    assert "the disk is full; make room, then the same command again" in ended.err
    assert "Traceback" not in ended.err


def test_a_fault_with_any_letter_is_in_health(holder):
    slot = ModelSlot(holder.served)
    slot.fault = "no file M\udcfcller"
    assert TestClient(build_app(slot)).get("/health").json()["fault"] == "no file M?ller"


@pytest.mark.parametrize(
    "batch",
    [
        b'{"inputs":["\\ud800"]}',
        b'{"inputs":[{"image":"\\udfff"}]}',
        b'{"\\ud800":1}',
        b"[" * 50_000,
        b'{"inputs":' + b"[" * 50_000,
        b'\xff\xfe{"inputs":[]}',
        b'{"inputs":[NaN, 1e999, "%s"]}' % (b"9" * 5000),
        b"9" * 5000,
    ],
)
def test_what_is_no_json_or_no_image_is_refused(client, batch):
    assert client.post("/invocations", content=batch).status_code in {400, 422}


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_package_that_is_not_installed_is_named(workspace, monkeypatch, command):
    (workspace.root / "dvc.yaml").touch()
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    ended = run_here(workspace.root, command, "--model", "models/hgmnet", "--port", "0")
    assert ended.status == 2
    assert ended.err == (
        f"hgmnet: Config: `hgmnet {command}` needs markdown_it: pip install 'hgmnet[serve]'\n"
    )


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "x"])
def test_the_watch_has_a_pace(workspace, text):
    ended = run_here(workspace.root, "serve", f"--poll-seconds={text}", "--port", "0")
    assert ended.status == 2
    assert "--poll-seconds" in ended.err.splitlines()[-1]


def test_the_command_needs_its_token(workspace, monkeypatch):
    (workspace.root / "dvc.yaml").touch()
    monkeypatch.setenv("HGMNET_TOKEN", "short")
    ended = run_here(workspace.root, "serve", "--port", "0", "--model", "models/hgmnet")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "HGMNET_TOKEN: expected a token" in ended.err
    monkeypatch.setenv("HGMNET_TOKEN", "0123456789abcdef")
    words = [sys.executable, "-m", "pipelines", "serve", "--model", "models/hgmnet", "--port", "0"]
    kept = {"cwd": workspace.root, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **kept) as server:
        try:
            address = re.search(r"http://\S+?:\d+", server.stdout.readline())[0]
            assert httpx.get(f"{address}/health", timeout=60).status_code == 401
            bearer = {"Authorization": "Bearer 0123456789abcdef"}
            assert httpx.get(f"{address}/health", timeout=60, headers=bearer).status_code == 200
        finally:
            os.kill(server.pid, signal.SIGINT)


def test_the_command_serves_and_ends_by_a_signal(workspace, images):
    (workspace.root / "dvc.yaml").touch()
    words = [sys.executable, "-m", "pipelines", "serve", "--model", "models/hgmnet", "--port"]
    kept = {"cwd": workspace.root, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*words, "0", "--request-log"], text=True, **kept) as server:
        address = re.search(r"http://\S+?:\d+", server.stdout.readline())[0]
        assert httpx.get(f"{address}/health", timeout=60).json()["model"] == "models/hgmnet"
        done = httpx.post(f"{address}/predict", content=images[0], timeout=60)
        assert done.json()["error"] == ""
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(60) in {0, 130, -signal.SIGINT}
        lines = [json.loads(line) for line in server.stderr if line.startswith("{")]
    assert [line["path"] for line in lines if "path" in line] == ["/health", "/predict"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*words, port], text=True, capture_output=True, check=False, cwd=workspace.root
        )
    assert done.returncode == 2
    assert (
        done.stderr
        == f"hgmnet: Config: 127.0.0.1:{port}: Address already in use; take another: --port N\n"
    )
