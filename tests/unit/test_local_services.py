"""Which password goes to which Prefect server."""

import base64
import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError
from pipelines.operations.local_services import (
    AUTH,
    answers,
    check_password,
    how_to_sign_in,
    prefect_access,
    use_own_server,
)

PASSWORD = "me:right"  # noqa: S105 - of a server that lives for seconds


class Guarded(BaseHTTPRequestHandler):
    """Answers /health to all, /moved by leading elsewhere, and all else for a password."""

    sent: list[str | None]

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.sent.append(given)
        basic = f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"
        status = 302 if "/moved" in self.path else 200
        if status == 200 and not self.path.endswith("/health") and given != basic:
            status = 401
        self.send_response(status)
        self.send_header("Location", "/api/admin/version")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_SERVER_API_AUTH_STRING", AUTH):
        monkeypatch.delenv(name, raising=False)
    Guarded.sent = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_server_that_wants_another_password_is_named_without_it(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers(f"{api}/health")
    monkeypatch.setenv(AUTH, "me:wrong")
    for address in (api, api.replace("//", "//me:wrong@")):
        with pytest.raises(ConfigError, match="wants a password") as raised:
            check_password(address)
        assert "wrong" not in str(raised.value)


def test_the_password_is_taken_from_the_environment_or_the_address(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_password(api.replace("//", "//me:ri%67ht@"))
    monkeypatch.setenv(AUTH, PASSWORD)
    check_password(api)
    check_password("http://127.0.0.1:1/api")  # nothing answers there, which is not its business


def test_a_password_does_not_follow_to_where_a_server_leads(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTH, PASSWORD)
    with pytest.raises(ConfigError):
        check_password(f"{api}/moved")
    assert [bool(given) for given in Guarded.sent] == [True, False]


def test_the_own_servers_password_is_for_the_own_server_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_SERVER_API_AUTH_STRING", AUTH):
        monkeypatch.setenv(name, "")  # as it was afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:it's $ecret")
    with prefect_access(tmp_path, 4200) as access:
        assert access[AUTH] == "me:it's $ecret"
        monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
        use_own_server(tmp_path)
        assert how_to_sign_in(tmp_path, "http://elsewhere/api") == ""
        assert AUTH not in os.environ
        monkeypatch.setenv("PREFECT_API_URL", access["PREFECT_API_URL"])
        use_own_server(tmp_path)
        assert os.environ[AUTH] == "me:it's $ecret"
        assert "$ecret" not in how_to_sign_in(tmp_path, access["PREFECT_API_URL"])  # no terminal
    assert how_to_sign_in(tmp_path, access["PREFECT_API_URL"]) == ""


def test_each_up_has_a_password_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / ".hgmnet" / "prefect.env"
    found = set()
    for _ in range(2):
        file.parent.mkdir(exist_ok=True)
        file.write_text("left by one that was killed")  # readable by others
        with prefect_access(tmp_path, 4200) as access:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            found.add(access[AUTH])
    assert len(found) == 2
