"""Connections of slow clients to a server, with limits of a fraction of a second."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import httpx
import pytest
import uvicorn

from hgmnet.errors import ConfigError
from hgmnet.serving import connections
from hgmnet.serving.connections import TimedConnection, listen
from hgmnet.serving.limits import Limits

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
LARGE = 64 * 2**20


async def application(scope, receive, send) -> None:
    """Reads the body unless the path is /early; the answer to /large is large."""
    more = scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await asyncio.sleep(0.9 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = bytes(LARGE if scope["path"] == "/large" else 2)
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(**limits: int) -> Iterator[tuple[int, uvicorn.Server]]:
    """The port of a server, and the server."""
    http = partial(TimedConnection, Limits(**limits))
    config = uvicorn.Config(application, http=http, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as taken:
        thread = threading.Thread(target=server.run, args=([taken],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield taken.getsockname()[1], server
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.5)


def opened(port: int, data: bytes = b"") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    line.sendall(data)
    return line


def until_closed(line: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    came = b""
    try:
        while part := line.recv(2**16):
            came += part
    except ConnectionResetError:
        pass
    line.close()
    return came


@pytest.mark.parametrize(
    "sent", [b"", b"POST / HT", HEAD, HEAD + b"part"], ids=["nothing", "word", "head", "part"]
)
def test_a_request_that_stops_on_its_way_is_ended(sent: bytes) -> None:
    with serving() as (port, _):
        assert until_closed(opened(port, sent)).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_that_stops_is_ended_too() -> None:
    with serving() as (port, _):
        came = until_closed(opened(port, HEAD + b"x" * 9 + HEAD + b"part"))
    assert came.startswith(b"HTTP/1.1 200 ")


def test_a_body_that_drips_for_ever_is_ended() -> None:
    """Something comes all the time, but the request has a time to be whole."""
    with serving(receive_seconds=1) as (port, _):
        assert not drips(opened(port, HEAD.replace(b": 9", b": 999")))


def test_a_refused_body_may_not_drip_for_ever_either() -> None:
    """uvicorn stops its own timer with each byte that comes after an early answer."""
    with serving(receive_seconds=1) as (port, _):
        early = HEAD.replace(b": 9", b": 999").replace(b" / ", b" /early ")
        assert not drips(opened(port, early))


def drips(line: socket.socket) -> bool:
    """Whether the server takes 500 bytes, one every 50 ms."""
    with line, suppress(OSError):
        for _ in range(500):
            line.sendall(b"x")
            time.sleep(0.05)
        return True
    return False


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    with serving() as (port, server):
        line = opened(port, HEAD.replace(b" / ", b" /large ") + b"x" * 9)
        line.recv(1)
        for _ in range(400):
            if not server.server_state.connections:
                break
            time.sleep(0.05)
        assert not server.server_state.connections
        line.close()


def test_a_slow_but_steady_client_is_answered_whole() -> None:
    """Longer than any single wait: while it sends, while the model works, while it takes."""
    with serving() as (port, _):
        line = opened(port)
        for byte in HEAD.replace(b" / ", b" /slow ")[:-2] + b"\r\n":
            line.sendall(bytes([byte]))
        for _ in range(9):
            time.sleep(0.1)
            line.sendall(b"x")
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")
        line.close()
        line, came = opened(port, HEAD.replace(b" / ", b" /large ") + b"x" * 9), 0
        while came < LARGE:
            came += len(line.recv(2**22))
            time.sleep(0.05)
        line.close()


def test_idle_connections_make_room_for_others() -> None:
    """The longest idle one is closed, not the request that is being answered."""
    with serving(connections=8) as (port, server), ExitStack() as lines:
        busy = lines.enter_context(opened(port, HEAD.replace(b" / ", b" /slow ") + b"x" * 9))
        while not server.server_state.tasks:
            time.sleep(0.01)
        for _ in range(30):
            lines.enter_context(opened(port))
        assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x", timeout=20).status_code == 200
        assert len(server.server_state.connections) <= 9
        assert busy.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("host", ["x" * 99, "no one"])
def test_an_address_that_is_none_is_one_line(host: str) -> None:
    with pytest.raises(ConfigError, match="--port N") as caught:
        listen(host, 0)
    assert "\n" not in str(caught.value)
