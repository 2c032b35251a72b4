"""Which requests a server answers: by host name, by the page that sent it, by token."""

import hmac
import os
import re
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hgmnet.errors import ConfigError

TOKEN = "HGMNET_TOKEN"  # noqa: S105 - the name of the environment variable
_LEAST = 16  # characters of a token
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


def find_token(file: Path | None) -> str:
    """Return the token that requests must carry, from a file, else from `HGMNET_TOKEN`.

    Returns:
        An empty string if there is neither.

    Raises:
        ConfigError: the file can't be read, or the token is empty, too short or not ASCII.
    """
    if file is None and TOKEN not in os.environ:
        return ""
    source = str(file or TOKEN)
    try:
        token = (file.read_text(encoding="utf-8") if file else os.environ[TOKEN]).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} can't be read ({error}); expected a token in it") from None
    if len(token) < _LEAST or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{source}: expected a token of at least {_LEAST} ASCII characters without spaces; "
            "make one: openssl rand -hex 32"
        )
    return token


class Access:
    """ASGI middleware that refuses requests of pages elsewhere, and those without the token.

    A page elsewhere can have its own name resolved to this machine (`Host` is then that name), or
    send requests without reading the answers (`Origin` and `Sec-Fetch-Site` are then not ours).

    `hosts`: names of this server besides those of this machine, such as a proxy's. `token`: the
    bearer token that every request must carry; empty for none.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = (), token: str = "") -> None:
        self._app, self._token = app, token.encode()
        self._added = {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request; hand any other on."""
        status, problem = self._check(scope) if scope["type"] == "http" else (0, "")
        if not problem:
            await self._app(scope, receive, send)
            return
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        await JSONResponse({"detail": problem}, status, headers)(scope, receive, send)

    def _check(self, scope: Scope) -> tuple[int, str]:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        host = named[0].lower() if len(named) == 1 else ""
        here, _ = scope.get("server") or ("", None)  # the address that the client connected to
        if _name(host) not in {*_LOCAL, *self._added, here, f"[{here}]"}:
            return 400, "the Host is not this server's; a proxy's name is allowed by --allow-host"
        origin = headers.get("origin", "").lower().partition("://")[2]
        allowed = _name(origin) in self._added
        if "origin" in headers and origin != host and not allowed:
            return 403, "the request comes from a page of another origin"
        visit = scope["method"] in {"GET", "HEAD"} and headers.get("sec-fetch-mode") == "navigate"
        elsewhere = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        if elsewhere and not (visit or allowed):
            return 403, "the request comes from a page of another site"
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = value.strip().encode("latin-1") if kind.lower() == "bearer" else b""
        if self._token and not hmac.compare_digest(given, self._token):
            return 401, "expected the header Authorization: Bearer with this server's token"
        return 0, ""


def _name(host: str) -> str:
    """Host name of `name:port` in lower case; a sign that no name has, if it is none."""
    match = _HOST.fullmatch(host)
    return match["name"] if match else "?"
