"""`hgmnet demo` over HTTP: what the page is told, what it refuses, and which model answers."""

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from hgmnet.config.params import load_params
from hgmnet.data.atomic import write_text
from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.hgmnet import HGMNet
from hgmnet.serving.api import build_app
from hgmnet.serving.demo.app import build_demo
from hgmnet.serving.limits import Limits
from hgmnet.serving.model_card import card_beside
from hgmnet.serving.model_slot import LoadedModel, ModelSlot, load_folder
from pipelines.stages import register
from tests.source_files import dicom_file
from tests.tiny_repository import make_model, make_repository

pytestmark = pytest.mark.slow
LAYERS = ["prob", "coarse", *(f"gate{scale}" for scale in range(1, 6)), "evidence", "spread"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    space = make_repository(tmp_path_factory.mktemp("repository"))
    (space.root / "dvc.yaml").touch()
    return space


@pytest.fixture(scope="module")
def image(workspace) -> bytes:
    return next(workspace.raw.rglob("*.png")).read_bytes()


@pytest.fixture(scope="module")
def holder(workspace):
    return ModelSlot(load_folder(workspace.model))


@pytest.fixture
def client(holder, workspace):
    app = build_demo(holder, card_beside(workspace.model))
    return TestClient(app, base_url="http://127.0.0.1")


def pixels(uri: str) -> np.ndarray:
    kind, data = uri.split(",", 1)
    assert kind.startswith("data:image/")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_an_answer_is_the_predictors_with_all_that_lies_behind_it(client, holder, image):
    told = client.post("/look?name=a%20scan.png", content=image).json()
    grey = decode_grey(image, "a")
    finding = holder.served.predictor.predict([grey])[0]
    assert told["name"] == told["row"]["file"] == "a scan.png"
    assert told["decision"] == told["row"]["decision"] == finding.decision
    shown = {bar["name"]: bar["value"] for bar in told["bars"]}
    assert shown == pytest.approx({**finding.probs, "uncertainty": finding.uncertainty})
    np.testing.assert_array_equal(pixels(told["mask"]) > 127, finding.mask)
    assert (told["width"], told["height"]) == grey.shape[::-1]
    assert pixels(told["picture"]).shape == grey.shape
    assert bool(told["outline"]) == bool(finding.mask.any())
    assert bool(told["refer"]) == finding.refer
    assert told["sha256"] == told["row"]["model_sha256"] == holder.served.predictor.identity
    assert [layer["key"] for layer in told["layers"]] == LAYERS


def test_the_answer_is_that_of_serve_to_the_last_digit(client, holder, image):
    grey = decode_grey(image, "a")
    cine = np.concatenate([grey, grey[::-1]])
    of_two = {"Rows": len(grey), "NumberOfFrames": 2, "PixelSpacing": [0.5, 0.5]}
    serve = TestClient(build_app(holder), base_url="http://127.0.0.1")
    for data, query, frames in (
        (image, "", 1),
        (dicom_file(grey, PixelSpacing=[0.3, 0.3]), "", 1),
        (dicom_file(cine, **of_two), "frame=2", 2),
    ):
        shown = client.post(f"/look?name=x&{query}", content=data).json()
        answer = serve.post(f"/predict?{query}", content=data).json()
        assert shown["row"] == {"file": "x", **answer}
        assert shown["frames"] == frames
    assert client.post("/look?frame=3", content=dicom_file(cine, **of_two)).status_code == 400


def test_each_map_differs_from_the_others(client, image):
    told = client.post("/look", content=image).json()
    assert len({layer["src"] for layer in told["layers"]}) == len(LAYERS)
    assert all(pixels(layer["src"]).ndim == 2 for layer in told["layers"])


def test_a_large_image_is_shown_smaller_and_its_mask_is_not(client):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 40), dtype=np.uint8)
    Image.fromarray(noise).resize((1400, 2100)).save(file, "PNG")
    told = client.post("/look", content=file.getvalue()).json()
    assert (told["width"], told["height"]) == (683, 1024)
    assert pixels(told["mask"]).shape == (2100, 1400)


def test_dicom_tells_square_millimetres(client, image):
    grey = decode_grey(image, "a")
    told = client.post("/look", content=dicom_file(grey, PixelSpacing=[0.5, 0.5])).json()
    area = told["row"]["lesion_area_px"]
    assert area > 0  # else this test says nothing
    assert told["row"]["lesion_area_mm2"] == area * 0.25
    assert f"{area * 0.25:.1f} mm²" in dict(told["facts"])["Lesion area"]


def test_a_sample_is_a_synthetic_image_with_its_truth(client):
    told = client.post("/samples/malignant-1").json()
    plain = client.post("/look", content=client.get("/samples/malignant-1.png").content).json()
    assert (told["synthetic"], plain["synthetic"]) == (True, False)
    assert told["truth"].startswith("M")
    assert plain["truth"] == ""
    assert (told["picture"], told["bars"]) == (plain["picture"], plain["bars"])
    assert told["notes"][0].startswith("Synthetic")
    assert client.post("/samples/normal-1").json()["truth"] == ""


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        (("/look?name=x.png", b"no image"), 400, "x.png can't be decoded"),
        (("/look", b""), 400, "the body is empty"),
        (("/samples/benign-99", b""), 404, "no sample benign-99; there are benign-1,"),
    ],
)
def test_what_is_wrong_is_told_and_the_page_lives_on(client, image, asked, status, told):
    path, content = asked
    done = client.post(path, content=content)
    assert done.status_code == status
    assert told in done.json()["detail"]
    assert client.post("/look", content=image).status_code == 200


def test_a_body_without_a_declared_size_has_a_largest_one_too(holder):
    app = build_demo(holder, lambda served: "", Limits(body_mib=1))
    parts = (bytes(2**19) for _ in range(3))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/look", content=parts).status_code == 413


def test_every_answer_forbids_other_hosts_and_caches(client, image):
    for done in (
        *(client.get(path) for path in ("/", "/card", "/page.js", "/samples/benign-1.png")),
        *(client.post("/look", content=data) for data in (image, b"bad")),
    ):
        policy = done.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in policy
        assert done.headers["cache-control"] == "no-store"


def test_a_name_that_leads_here_from_elsewhere_is_refused(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8081"}).status_code == 200


def test_the_page_names_nothing_outside_itself(client):
    for path in ("/", "/card", "/page.css", "/page.js"):
        text = client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text


def test_the_page_says_what_it_is_not_and_which_model_answers(client, holder):
    html = client.get("/").text
    assert "not a medical device" in html
    assert holder.served.predictor.identity[:12] in html
    assert client.get("/health").json()["model_sha256"] == holder.served.predictor.identity


def test_another_model_answers_once_the_holder_has_one(workspace, image):
    first = load_folder(workspace.model)
    make_model(workspace, seed=1)
    second = load_folder(workspace.model)
    make_model(workspace, seed=0)
    holder = ModelSlot(first)
    client = TestClient(build_demo(holder, lambda served: ""), base_url="http://127.0.0.1")
    before = client.post("/look", content=image).json()
    holder.served = second
    after = client.post("/look", content=image).json()
    assert after["sha256"] == second.predictor.identity != before["sha256"]
    assert after["model"] in client.get("/").text


def test_the_card_is_the_models_own_or_what_its_folder_says(client, workspace, holder):
    html = client.get("/card").text
    assert "This model has no card" in html
    assert holder.served.predictor.identity in html
    card = f"# Card\n\nof {holder.served.predictor.identity}\n"
    write_text(workspace.model_card, card)
    try:
        assert "<h1>Card</h1>" in client.get("/card").text
    finally:
        write_text(workspace.model_card, "made up\n")


ALONE = {"coarse": False, "gate": "none"}


@pytest.mark.parametrize(
    ("model", "layers", "headline"),
    [
        ({"tasks": "segmentation"}, [*LAYERS[:7], "spread"], "no class"),
        ({"tasks": "classification", **ALONE}, ["evidence"], "probability"),
        (ALONE, ["prob", "evidence", "spread"], "probability"),
    ],
)
def test_a_model_is_shown_by_what_it_has(holder, image, model, layers, headline):
    known = holder.served.predictor
    of = known.spec.model_copy(update={"model": known.spec.model.model_copy(update=model)})
    network = HGMNet(of.model, len(of.classes)).eval()
    threshold = None if model.get("tasks") == "segmentation" else 0.4
    point = known.operating.model_copy(update={"malignant_threshold": threshold})
    served = LoadedModel(TorchPredictor(network, of, point, "0" * 64), holder.served.described)
    client = TestClient(build_demo(ModelSlot(served), lambda _: ""), base_url="http://127.0.0.1")
    told = client.post("/look", content=image).json()
    assert [layer["key"] for layer in told["layers"]] == layers
    assert headline in told["headline"]
    assert client.get("/card").status_code == 200


@pytest.mark.long
def test_the_command_takes_the_challenger_until_there_is_a_champion(workspace, tmp_path):
    """With the version's own card, from its run; and opens a browser where it is told which."""
    root, seen = workspace.root, tmp_path / "seen"
    write_text(workspace.model_card, "# The card of *version 1*\n")
    params = load_params(root / "params.yaml")
    register.run(root, params.data, params.registry)
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {seen}.part && mv {seen}.part {seen}\n')
    script.chmod(0o755)
    command = [sys.executable, "-m", "pipelines", "demo", "--port", "0"]
    kept = {"cwd": root, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"BROWSER": str(script)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with subprocess.Popen(command, env=environment, **kept) as server:
        try:
            address = re.search(r"http://127.0.0.1:\d+", server.stdout.readline())[0]
            assert "no champion yet; its challenger answers" in server.stdout.readline()
            assert "not a medical device" in server.stdout.readline()
            assert "hgmnet-phantom version 1" in httpx.get(address, timeout=60).text
            assert "<em>version 1</em>" in httpx.get(f"{address}/card", timeout=60).text
        finally:
            os.kill(server.pid, signal.SIGINT)
        assert server.wait(60) in {0, 130, -signal.SIGINT}
    assert seen.read_text() == f"{address}\n"


def test_a_taken_port_and_a_missing_model_are_told_in_a_line(workspace):
    command = [sys.executable, "-m", "pipelines", "demo", "--no-browser", "--model"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, told in (
            (["models/hgmnet", "--port", port], f"127.0.0.1:{port}: Address already in use"),
            (["nowhere", "--port", "0"], "nowhere/model.json is missing"),
        ):
            done = subprocess.run(
                [*command, *words], cwd=workspace.root, capture_output=True, text=True, check=False
            )
            assert done.returncode == 2
            assert done.stderr.startswith(f"hgmnet: Config: {told}")
            assert done.stderr.count("\n") == 1
