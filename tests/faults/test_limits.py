"""Limits on what a small request or a slow client may take: memory, places, time."""

import asyncio
import base64
import io
import json
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from hgmnet.data.resize import Grey
from hgmnet.errors import HgmnetError
from hgmnet.importing import importer
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.inference.predictor import Predictor
from hgmnet.serving import api
from hgmnet.serving.limits import Limits
from hgmnet.serving.model_slot import LoadedModel, ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from tests.asgi import Post
from tests.memory import peak
from tests.source_files import as_csv, dicom_file, folder
from tests.tiny_repository import make_repository
from tests.warm import launcher

MIB = 2**20
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def served(workspace: Workspace) -> LoadedModel:
    return load_folder(workspace.model)


@pytest.fixture
def client(served: LoadedModel) -> Iterator[TestClient]:
    """One loop for all requests, as a server has."""
    with TestClient(api.build_app(ModelSlot(served))) as made:
        yield made


# A file that unpacks to much more than it is. A limit of 256 MiB, the largest body, would be a good
# one, and twice that may be taken until it is reached.
BOMB, ENOUGH = 320, 576


def served_over_http(client: TestClient, _: Path, data: bytes) -> bool:
    """Whether the image was answered."""
    return client.post("/predict", content=data).status_code == 200


def imported(_: TestClient, here: Path, data: bytes) -> bool:
    """Whether the image came in."""
    table = as_csv(("image", "label"), [("scan.dcm", "benign")])
    source = folder(here / "source", {"scan.dcm": data, "table.csv": table})
    with suppress(HgmnetError):
        return importer.lay_out(source, here / "data/mine/raw").per_class == {"benign": 1}
    return False


WAYS = [served_over_http, imported]
Way = Callable[[TestClient, Path, bytes], bool]


@pytest.mark.parametrize("way", WAYS)
def test_a_deflated_dicom_file_is_read(client: TestClient, tmp_path: Path, way: Way) -> None:
    assert way(client, tmp_path, deflated(1))


@pytest.mark.parametrize("way", WAYS)
def test_a_small_dicom_file_does_not_fill_the_memory(
    client: TestClient, tmp_path: Path, way: Way
) -> None:
    data = deflated(BOMB)
    if len(data) > MIB:
        raise RuntimeError("the file is not small")
    used = peak(lambda: way(client, tmp_path, data))
    assert used < ENOUGH * MIB, f"{len(data)} bytes take {used // MIB} MiB"


@pytest.fixture
def strict(served: LoadedModel) -> Iterator[TestClient]:
    """A client of a server whose largest body is 1 MiB."""
    with TestClient(api.build_app(ModelSlot(served), Limits(body_mib=1))) as made:
        yield made


def test_bodies_have_a_largest_size(strict: TestClient) -> None:
    batch = b"".join(chunks(2 * MIB))
    assert strict.post("/predict", content=chunks(2 * MIB)).status_code == 413
    assert strict.post("/invocations", content=batch, headers=JSON).status_code == 413
    small = strict.post("/invocations", content=chunks(MIB // 2), headers=JSON)
    assert small.status_code == 400  # it was read, and is no image


def test_a_batch_in_chunks_has_that_size_too(strict: TestClient) -> None:
    done = strict.post("/invocations", content=chunks(4 * MIB), headers=JSON)
    assert done.status_code == 413, done.text


def test_a_batch_of_a_great_many_rows_leaves_room_for_others(served: LoadedModel) -> None:
    """It may be refused early, read in little memory, or while the loop goes on."""
    many = b"[]," * (MIB // 4 // 3)
    data = b'{"dataframe_split":{"columns":["image"],"data":[' + many + b"[]]}}"
    request = Post(api.build_app(ModelSlot(served)), "/invocations", data)
    used = peak(lambda: asyncio.run(request.send())) // len(data)
    if not 400 <= request.status < 500:
        raise RuntimeError(f"answered by {request.status}")
    assert used < 8 or request.turns > 1000, f"{used} times its size, {request.turns} turns"


SIDE = 1500
COUNT = 12


@pytest.fixture(scope="module")
def blank() -> str:
    """A PNG of some kilobytes and two megapixels, as base64 text."""
    return as_text(np.zeros((SIDE, SIDE), np.uint8))


def test_a_batch_of_large_images_is_answered(client: TestClient, blank: str) -> None:
    rows = client.post("/invocations", json={"inputs": [blank] * 2}).json()["predictions"]
    assert [row["error"] for row in rows] == ["", ""]


def test_memory_does_not_grow_with_the_batch(client: TestClient, blank: str) -> None:
    def ask(count: int) -> None:
        done = client.post("/invocations", json={"inputs": [blank] * count})
        done.raise_for_status()

    one, many = (peak(lambda count=count: ask(count)) for count in (1, COUNT))
    held = (many - one) / SIDE**2
    assert held < COUNT / 2, f"as much more as {held:.1f} decoded images take"


class Turns(Predictor):
    """A model that notes whose images it looked at, dark ones of a batch or somebody's bright one.

    `begun` is set at its first look.
    """

    def __init__(self, served: LoadedModel) -> None:
        own = served.predictor
        super().__init__(own.spec, own.operating, own.identity)
        self.served = served
        self.looks: list[str] = []
        self.begun = threading.Event()

    def holder(self) -> ModelSlot:
        return ModelSlot(LoadedModel(self, self.served.described))

    def predict_raw(self, squares: Grey) -> RawPrediction:
        self.looks.append("bright" if squares.max() > 127 else "dark")
        self.begun.set()
        time.sleep(0.05)  # time for the other request to come
        return self.served.predictor.predict_raw(squares)


def test_a_single_image_need_not_wait_for_a_whole_batch(served: LoadedModel) -> None:
    turns = Turns(served)
    dark, bright = (np.full((40, 50), grey, np.uint8) for grey in (0, 255))
    batch = {"inputs": [as_text(dark)] * 96}
    with TestClient(api.build_app(turns.holder())) as client:
        status: list[int] = []

        def send() -> None:
            status.append(client.post("/invocations", json=batch).status_code)

        other = threading.Thread(target=send)
        other.start()
        if not turns.begun.wait(60):
            raise RuntimeError("nobody looked at the batch")
        alone = client.post("/predict", content=base64.b64decode(as_text(bright)))
        other.join()
    if (alone.status_code, status) != (200, [200]) or turns.looks.count("dark") < 2:
        raise RuntimeError(f"{alone.status_code}, {status}, {turns.looks}")
    assert turns.looks[-1] == "dark", "the single image came last"


class Gated(Turns):
    """A model that works only while `gate` is open."""

    def __init__(self, served: LoadedModel) -> None:
        super().__init__(served)
        self.gate = threading.Event()

    def predict_raw(self, squares: Grey) -> RawPrediction:
        self.looks.append("")
        self.begun.set()
        if not self.gate.wait(60):
            raise RuntimeError("the gate was never opened")
        return self.served.predictor.predict_raw(squares)


@pytest.fixture
def gated(served: LoadedModel) -> Iterator[Gated]:
    made = Gated(served)
    yield made
    made.gate.set()


async def posted(client: httpx.AsyncClient, *contents: bytes) -> list[httpx.Response]:
    return await asyncio.gather(*(client.post("/predict", content=data) for data in contents))


def test_health_answers_at_once_beside_sixty_predictions(gated: Gated) -> None:
    image = base64.b64decode(as_text(np.zeros((40, 50), np.uint8)))

    async def ask() -> list[int]:
        async with connected(api.build_app(gated.holder())) as client:
            waiting = asyncio.create_task(posted(client, *[image] * 60))
            await asyncio.to_thread(gated.begun.wait, 60)
            health = await asyncio.wait_for(client.get("/health"), 30)  # the gate is still closed
            gated.gate.set()
            return [health.status_code, *(answer.status_code for answer in await waiting)]

    assert asyncio.run(ask()) == [200] * 61


@pytest.mark.parametrize(
    ("limits", "size"), [(Limits(queue=3), 100), (Limits(held_mib=1), 300 * 2**10)]
)
def test_what_finds_no_place_is_sent_away_for_a_while(
    gated: Gated, limits: Limits, size: int
) -> None:
    """By their number, or by the bytes that they hold; afterwards there is room again."""
    image = base64.b64decode(as_text(np.zeros((40, 50), np.uint8))) + bytes(size)

    async def ask() -> tuple[list[httpx.Response], list[httpx.Response]]:
        async with connected(api.build_app(gated.holder(), limits)) as client:
            waiting = asyncio.create_task(posted(client, *[image] * 5))
            await asyncio.to_thread(gated.begun.wait, 60)
            gated.gate.set()
            return await waiting, await posted(client, *[image] * 3)

    first, later = asyncio.run(ask())
    away = [answer for answer in first if answer.status_code == 503]
    assert [len(away), *(answer.status_code for answer in later)] == [2, 200, 200, 200]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in away)


@pytest.mark.parametrize("reason", ["gone", "late"])
def test_nothing_is_computed_for_a_request_that_is_given_up(gated: Gated, reason: str) -> None:
    """Its client has gone, or it has waited too long."""
    data = json.dumps({"inputs": [as_text(np.zeros((40, 50), np.uint8))] * 96}).encode()
    limits = Limits() if reason == "gone" else Limits(answer_seconds=0)
    gated.gate.set()
    app = api.build_app(gated.holder(), limits)
    asyncio.run(Post(app, "/invocations", data, hangs_up=reason == "gone").send())
    assert gated.looks == []


def connected(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


# Requests that are not sent to their end.
PLACES, IDLE = 1024, 1100  # descriptors of the server, connections to it
BODIES, SENT = 4, 64 * MIB
PATIENCE_S = 40


@dataclass(frozen=True)
class Besieged:
    """A server after `PATIENCE_S` beside half-sent requests.

    `waits`: how many bodies it still waits for. `held`: bytes by which its memory has grown.
    `answers`: whether it answers somebody else.
    """

    waits: int
    held: int
    answers: bool


@pytest.fixture(scope="module")
def besieged(workspace: Workspace) -> Iterator[Besieged]:
    (workspace.root / "dvc.yaml").touch()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2 * IDLE:
        pytest.skip(f"needs {2 * IDLE} open files")
    words = ["-m", "pipelines", "serve", "--model", "models/hgmnet", "--port", "0"]
    kept = {"cwd": workspace.root, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    sockets: list[socket.socket] = []
    with subprocess.Popen([launcher.real_python(), *words], text=True, **kept) as server:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2 * IDLE), before[1]))
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (PLACES, PLACES))
            address = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
            port = int(address[1])
            httpx.get(f"{address[0]}/health", timeout=60).raise_for_status()
            memory = resident(server.pid)
            sockets += [half_sent(port) for _ in range(BODIES)]
            sockets += [idle(port) for _ in range(IDLE)]
            time.sleep(PATIENCE_S)
            waits = sum(map(waited_for, sockets[:BODIES]))
            held = resident(server.pid) - memory
            answers = False
            with suppress(httpx.HTTPError):
                answers = httpx.get(f"{address[0]}/health", timeout=20).status_code == 200
            yield Besieged(waits, held, answers)
        finally:
            for one in sockets:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            server.send_signal(signal.SIGKILL)


@pytest.mark.soak
def test_half_a_body_is_not_kept_for_ever(besieged: Besieged) -> None:
    """The server may give up the connection, or keep little of what has come."""
    assert not besieged.waits or besieged.held < BODIES * SENT / 2, besieged


@pytest.mark.soak
def test_idle_connections_do_not_shut_everybody_out(besieged: Besieged) -> None:
    assert besieged.answers


def deflated(mib: int) -> bytes:
    """A DICOM image of 2 × 3 pixels, deflated, with a private element of so many MiB of zeros."""
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    header = pydicom.dcmread(io.BytesIO(dicom_file()))
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    header.save_as(file, enforce_file_format=True)
    data = file.getvalue()
    end = 144 + struct.unpack("<I", data[140:144])[0]  # of what says of itself how it is packed
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)

    def pack(part: bytes) -> bytes:
        return packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)

    element = pack(struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, mib * MIB))
    zeros = pack(bytes(MIB)) * mib  # a flushed part stands for itself
    rest = pack(zlib.decompress(data[end:], -15)) + packer.flush()
    return data[:end] + element + zeros + rest


def chunks(size: int) -> Iterator[bytes]:
    """A batch of so many bytes, which don't say how many they are."""
    yield b'{"inputs":["'
    for _ in range(0, size, 2**16):
        yield b"A" * 2**16
    yield b'"]}'


def as_text(pixels: Grey) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def half_sent(port: int) -> socket.socket:
    """A connection with a part of a body; what the server does not take is not sent."""
    line = socket.create_connection(("127.0.0.1", port), timeout=10)
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {4 * SENT}\r\n\r\n"
    with suppress(OSError):
        line.sendall(head.encode())
        line.sendall(bytes(SENT))
    return line


def idle(port: int) -> socket.socket:
    """A connection with a part of a request's head, where the server takes it."""
    line = socket.socket()
    line.settimeout(3)
    with suppress(OSError):
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    return line


def waited_for(line: socket.socket) -> bool:
    """Whether the server has neither answered nor hung up."""
    line.settimeout(0)
    try:
        line.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def resident(pid: int) -> int:
    """A process's memory, bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])
