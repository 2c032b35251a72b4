"""The server's socket, and connections that end if their client is too slow."""

import asyncio
import socket
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol

from hgmnet.errors import ConfigError
from hgmnet.serving.limits import DEFAULTS, Limits
from hgmnet.serving.model_slot import ModelSlot
from hgmnet.serving.monitoring import log_as_json

STALL_SECONDS = 10
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def listen(host: str, port: int) -> socket.socket:
    """Bind a port, 0 for a free one; ConfigError if it is taken or the address is not local."""
    try:
        return socket.create_server((host, port))
    except (OSError, UnicodeError) as error:  # a name that is too long is no name
        why = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        raise ConfigError(f"{host}:{port}: {why}; take another: --port N") from None


def run(
    app: FastAPI,
    taken: socket.socket,
    slot: ModelSlot,
    grace_s: int,
    limits: Limits = DEFAULTS,
    *,
    json_log: bool = False,
) -> None:
    """Serve until Ctrl-C, then give running requests `grace_s` seconds to finish.

    `json_log`: log requests and errors as JSON lines.
    """
    if json_log:
        log_as_json()
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None if json_log else LOGGING_CONFIG,
        http=partial(TimedConnection, limits),  # type: ignore[arg-type]  # a class, bound
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=grace_s,
    )
    uvicorn.Server(config).run(sockets=[taken])
    slot.stop()


class TimedConnection(H11Protocol):
    """A connection that is closed if its client is too slow.

    A request's head must arrive within `STALL_SECONDS`, the whole request within
    `limits.receive_seconds`, and some part of it, or of the taking of its answer, every
    `STALL_SECONDS`. uvicorn itself limits only the time between two requests. Above
    `limits.connections`, the connection that has waited longest for its request is closed.
    """

    def __init__(self, limits: Limits, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._request: asyncio.TimerHandle | None = None
        self._answer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._came = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; close another connection if there are too many."""
        super().connection_made(transport)
        self._expect()
        ours = [one for one in self.connections if isinstance(one, TimedConnection)]
        still = [one for one in ours if not one.transport.is_closing()]
        if len(still) > self._limits.connections:
            waiting = [one for one in still if one._request]
            min(waiting, key=lambda one: one._deadline).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        super().connection_lost(exc)
        self._stop_request()
        self._stop_answer()

    def data_received(self, data: bytes) -> None:
        """Stop to wait for a request once it is whole."""
        self._came = True
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._stop_request()

    def on_response_complete(self) -> None:
        """Begin to wait for a further request, or for the rest of one that was refused early."""
        super().on_response_complete()
        if self._request is None and self.conn.their_state is not h11.DONE:
            self._expect()

    def pause_writing(self) -> None:
        """Begin to wait until the client takes its answer."""
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        """Stop to wait until the client takes its answer."""
        super().resume_writing()
        self._stop_answer()

    def _expect(self) -> None:
        self._deadline = self.loop.time() + self._limits.receive_seconds
        self._await_more()

    def _await_more(self) -> None:
        self._came = False
        seconds = min(STALL_SECONDS, self._limits.receive_seconds)
        self._request = self.loop.call_later(seconds, self._check_request)

    def _check_request(self) -> None:
        coming = self._came and self.conn.their_state is h11.SEND_BODY
        if self._answer or (coming and self.loop.time() < self._deadline):
            self._await_more()
            return
        self._request = None
        begun = self.cycle is not None and self.cycle.response_started
        if not begun and not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()
        else:
            self.transport.abort()

    def _await_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._answer = self.loop.call_later(STALL_SECONDS, self._check_taking, left)

    def _check_taking(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._await_taking()
        else:
            self.transport.abort()

    def _stop_request(self) -> None:
        if self._request:
            self._request.cancel()
            self._request = None

    def _stop_answer(self) -> None:
        if self._answer:
            self._answer.cancel()
            self._answer = None
