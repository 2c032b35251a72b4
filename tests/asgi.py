"""A request as a server hands it to an application, for what no client in a test can do."""

import asyncio
from typing import Any

from fastapi import FastAPI


class Post:
    """A POST; `status`: of its answer. `turns`: how often the loop could have done other things."""

    def __init__(
        self,
        application: FastAPI,
        path: str,
        data: bytes,
        sent: int | None = None,
        *,
        hangs_up: bool = False,
    ) -> None:
        """Of a body; the client hangs up after its first `sent` bytes, or after all of it."""
        self.status = self.turns = 0
        self._app, self._path = application, path
        self._stays = sent is None and not hangs_up
        body: dict[str, Any] = {"type": "http.request", "body": data[:sent]}
        self._messages = [body | {"more_body": sent is not None}]

    async def send(self) -> None:
        """Until the application has done with it; raises what comes out of it."""
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": self._path, "headers": headers}
        work = self._app(scope | {"query_string": b""}, self._receive, self._answer)
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0)
            self.turns += 1
        await task

    async def _receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        if self._stays:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _answer(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
