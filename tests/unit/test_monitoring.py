"""What an operator sees of a server: metrics, probes, request ids and the log of requests."""

import asyncio
import io
import json
import logging

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import ks_2samp

from hgmnet.data.image_statistics import measure
from hgmnet.data.images import decode_grey
from hgmnet.inference.response import columns
from hgmnet.serving.api import Answer, Endpoints, build_app
from hgmnet.serving.limits import Limits
from hgmnet.serving.model_slot import LoadedModel, ModelSlot, load_folder
from hgmnet.serving.monitoring import JsonLines
from tests.tiny_repository import make_repository


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def served(workspace) -> LoadedModel:
    return load_folder(workspace.model, "hgmnet-phantom", "7")


@pytest.fixture(scope="module")
def images(workspace) -> list[bytes]:
    return [path.read_bytes() for path in sorted(workspace.raw.rglob("*.png"))]


@pytest.fixture
def slot(served: LoadedModel) -> ModelSlot:
    return ModelSlot(served)


@pytest.fixture
def client(slot: ModelSlot) -> TestClient:
    return TestClient(build_app(slot), raise_server_exceptions=False)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the server logs, as JSON lines."""
    logger, stream = logging.getLogger("hgmnet.serving"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()
    return stream


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Each sample of /metrics by its name and its labels' values."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (one.name, *one.labels.values()): one.value for family in families for one in family.samples
    }


def test_the_schema_of_an_answer_has_its_columns(served: LoadedModel) -> None:
    known = [field.alias or name for name, field in Answer.model_fields.items()]
    classes = served.predictor.spec.classes
    probs = [f"prob_{name}" for name in classes]
    assert sorted([*known, *probs]) == sorted(columns(classes, served.described))


def test_requests_and_images_are_counted(client: TestClient, images: list[bytes]) -> None:
    row = client.post("/predict", content=images[0]).json()
    client.post("/predict", content=b"no image")
    client.get("/secret-name.png")
    found = samples(client)
    assert found["hgmnet_requests_total", "/predict", "200"] == 1
    assert found["hgmnet_requests_total", "/predict", "400"] == 1
    assert found["hgmnet_requests_total", "other", "404"] == 1
    assert found["hgmnet_request_seconds_count", "/predict"] == 2
    refer = str(row["refer"]).lower()
    assert found["hgmnet_images_total", row["decision"], refer, "7"] == 1
    assert found["hgmnet_model_info", "hgmnet-phantom", row["model_sha256"], "7"] == 1
    assert found["hgmnet_queue_length",] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_drift_and_refer_share_are_of_the_images_served(
    client: TestClient, slot: ModelSlot, images: list[bytes]
) -> None:
    rows = [client.post("/predict", content=image).json() for image in images]
    new = [measure(decode_grey(image, "i")).brightness for image in images]
    assert slot.served.profile is not None
    reference = slot.served.profile.columns["brightness"].values
    found = samples(client)
    distance = ks_2samp(reference, new, method="asymp").statistic
    assert found["hgmnet_drift", "brightness"] == pytest.approx(distance)
    assert found["hgmnet_drift_bound", "brightness"] > 0
    share = sum(row["refer"] for row in rows) / len(rows)
    assert found["hgmnet_refer_share",] == pytest.approx(share)


def test_another_model_begins_another_window(
    client: TestClient, slot: ModelSlot, workspace, images: list[bytes]
) -> None:
    client.post("/predict", content=images[0])
    slot.served = load_folder(workspace.model, "hgmnet-phantom", "8")
    client.post("/predict", content=images[1])
    assert slot.served.profile is not None
    reference = slot.served.profile.columns["brightness"].values
    new = measure(decode_grey(images[1], "i")).brightness
    below = sum(value <= new for value in reference) / len(reference)
    found = samples(client)
    assert found["hgmnet_drift", "brightness"] == pytest.approx(max(below, 1 - below))
    assert ("hgmnet_model_info", "hgmnet-phantom", slot.served.predictor.identity, "8") in found


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("", False), ("two words", False), ("x" * 129, False)]
)
def test_a_request_has_an_id(
    client: TestClient, lines: io.StringIO, images: list[bytes], given: str, kept: bool
) -> None:
    done = client.post("/predict?frame=0", content=images[0], headers={"X-Request-ID": given})
    name = done.headers["X-Request-ID"]
    assert done.status_code == 422
    assert (name == given) == kept
    assert len(name) == (9 if kept else 32)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert line["request_id"] == name
    assert {line[key] for key in ("method", "path", "status")} == {"POST", "/predict", 422}
    assert 0 < line["seconds"] < 600


def test_a_line_has_no_query_no_unknown_path_and_no_secret(
    client: TestClient, lines: io.StringIO
) -> None:
    client.get("/jane-doe.png?name=jane-doe")
    logging.getLogger("hgmnet.serving").warning("no postgresql://jane:doe@host")
    assert "doe" not in lines.getvalue()
    assert lines.getvalue().count("\n") == 2


def test_a_bug_is_a_line_with_its_request_and_is_counted(
    client: TestClient, slot: ModelSlot, lines: io.StringIO, images: list[bytes]
) -> None:
    slot.served = LoadedModel(slot.served.predictor, {})  # no model's columns
    done = client.post("/predict", content=images[0])
    slot.served = LoadedModel(
        slot.served.predictor, dict.fromkeys(("model", "version", "model_sha256"), "")
    )
    assert done.status_code == 500
    assert samples(client)["hgmnet_requests_total", "/predict", "500"] == 1
    assert json.loads(lines.getvalue().splitlines()[0])["status"] == 500


def test_ready_until_the_queue_is_full(slot: ModelSlot) -> None:
    at = Endpoints(slot, Limits(queue=1))
    assert asyncio.run(at.ready()).waiting == 0
    with at._queue.place(), pytest.raises(HTTPException) as caught:
        asyncio.run(at.ready())
    assert caught.value.status_code == 503
    assert caught.value.headers == {"Retry-After": "5"}
