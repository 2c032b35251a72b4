"""Requests that wait for the model: bounded in number and bytes, one turn at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from hgmnet.serving.limits import MIB, Limits

P = ParamSpec("P")
T = TypeVar("T")


class WorkQueue:
    """Reads bodies within limits, and gives each request its turns with the model in order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting = self._held = 0
        self._turn = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the model or use it."""
        return self._waiting

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[bytes]:
        """Read a request's body, and hold a place in the queue during the block.

        Raises:
            HTTPException: 413, the body is too large; 400, it is empty; 503, there is no place.
        """
        data, size = bytearray(), 0
        try:
            self._check_size(int(request.headers.get("content-length", "0")))
            async for part in request.stream():
                size += len(part)
                self._held += len(part)
                self._check_size(size)
                if self._held > self._limits.held_mib * MIB:
                    raise _busy("the requests under way hold too much memory")
                data += part
            if not data:
                raise HTTPException(400, "the body is empty; expected: curl --data-binary @FILE")
            body = bytes(data)
            data.clear()
            with self.place():
                yield body
        finally:
            self._held -= size

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue during the block; HTTPException 503 if there is none."""
        if self._waiting >= self._limits.queue:
            raise _busy(f"{self._waiting} requests are waiting")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def turn(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run `work` in a thread, alone; turns come in the order in which they were requested."""
        async with self._turn:
            return await run_in_threadpool(work, *args, **named)

    async def turns(self, request: Request, parts: Iterator[list[T]]) -> list[T]:
        """Join the parts, one turn each, so that other requests come between them.

        Raises:
            HTTPException: 503, it took longer than `answer_seconds`.
            ClientDisconnect: the client has gone.
        """
        start, joined = time.monotonic(), list[T]()
        while True:
            async with self._turn:
                if await request.is_disconnected():
                    raise ClientDisconnect
                if time.monotonic() - start > self._limits.answer_seconds:
                    raise _busy("the request took too long; send fewer images")
                part = await run_in_threadpool(next, parts, None)
            if part is None:
                return joined
            joined += part

    def _check_size(self, size: int) -> None:
        most = self._limits.body_mib * MIB
        if size > most:
            raise HTTPException(413, f"the body is too large; at most {most} bytes are read")


def _busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again", headers={"Retry-After": "5"})
