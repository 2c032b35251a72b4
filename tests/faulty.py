"""A server that passes requests on to another, real one, and spoils those that a test chooses."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Spoil = Callable[[str, str], float | None]
"""From method and path: None, passed on; 0, answered 500; else passed on after so many seconds."""
_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


@contextmanager
def in_front_of(target: str, spoil: Spoil) -> Iterator[str]:
    """The address of a server in front of `target`."""
    onward = httpx.Client(base_url=target, timeout=120)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.pass_on
            raise AttributeError(name)

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = spoil(self.command, self.path)
            if fault == 0:
                self.answer(500, {}, b"Internal Server Error")
                return
            time.sleep(fault or 0)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            said = onward.request(self.command, self.path, content=body, headers=headers)
            kept = {k: v for k, v in said.headers.items() if k.lower() not in _HOP}
            self.answer(said.status_code, kept, said.content)

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        onward.close()
