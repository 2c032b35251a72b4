"""Requests that pages elsewhere send to a server of this machine, and requests without its token.

Each is answered by an application that lets everything in, behind `Access`.
"""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hgmnet.errors import ConfigError
from hgmnet.serving.access import TOKEN, Access, find_token

HERE = "http://127.0.0.1:8080"
SECRET = "0123456789abcdef"  # noqa: S105 - of no server


def client(*hosts: str, token: str = "", url: str = HERE) -> TestClient:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    app.add_middleware(Access, hosts=hosts, token=token)
    return TestClient(app, base_url=url)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:8080"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8080"},
        {"Origin": HERE},
        {"Origin": "https://localhost:9", "Host": "localhost:9"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_own_pages_and_programs_are_let_in(headers: dict[str, str]) -> None:
    assert client().post("/", headers=headers).text == "in"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "elsewhere.example"}, 400),
        ({"Host": "127.0.0.1.elsewhere.example:8080"}, 400),
        ({"Host": "127.0.0.1@elsewhere.example"}, 400),
        ({"Host": "10.9.8.7:8080"}, 400),
        ({"Host": ""}, 400),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "http://127.0.0.1:8080.elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
    ],
)
def test_pages_elsewhere_are_refused(headers: dict[str, str], status: int) -> None:
    assert client().post("/", headers=headers).status_code == status


def test_two_hosts_are_none() -> None:
    asked = client().build_request("GET", "/", headers=[("Host", HERE[7:]), ("Host", HERE[7:])])
    assert client().send(asked).status_code == 400


def test_a_link_on_another_page_may_be_followed_but_nothing_read_by_it() -> None:
    there = {"Sec-Fetch-Site": "cross-site"}
    assert client().get("/", headers=there | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert client().get("/", headers=there | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_the_address_that_the_client_reached_is_a_name_of_the_server() -> None:
    assert client(url="http://192.0.2.7:80").get("/").status_code == 200
    assert client(url="http://[2001:db8::7]:80").get("/").status_code == 200


def test_a_proxy_is_known_by_name() -> None:
    proxied = {"Host": "hgm.example", "Origin": "https://hgm.example"}
    rewritten = {"Host": "127.0.0.1:8080", "Origin": "https://HGM.example:8443"}
    for headers in (proxied, rewritten, rewritten | {"Sec-Fetch-Site": "same-site"}):
        assert client("Hgm.example").post("/", headers=headers).status_code == 200
        assert client("other.example").post("/", headers=headers).status_code >= 400


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {SECRET}", 200),
        (f"bearer  {SECRET} ", 200),
        ("", 401),
        (SECRET, 401),
        (f"Bearer {SECRET[:-1]}", 401),
        (f"Bearer {SECRET}0", 401),
        ("Bearer ü", 401),
        (f"Basic {SECRET}", 401),
    ],
)
def test_the_token_opens(header: str, status: int) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    done = client(token=SECRET).get("/", headers=headers)
    assert done.status_code == status
    assert status == 200 or done.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert find_token(None) == ""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    assert find_token(tmp_path / "token") == SECRET
    monkeypatch.setenv(TOKEN, f" {SECRET}1 ")
    assert find_token(None) == f"{SECRET}1"
    assert find_token(tmp_path / "token") == SECRET


@pytest.mark.parametrize(
    "text", ["", " \n", "short", "ümläut-ümläut-ümläut", "two words two words"]
)
def test_a_token_that_protects_nothing_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable must not open the server that it was meant to close."""
    monkeypatch.setenv(TOKEN, text)
    (tmp_path / "token").write_text(text)
    for file in (None, tmp_path / "token"):
        with pytest.raises(ConfigError, match="at least 16") as caught:
            find_token(file)
        assert not text.strip() or text not in str(caught.value)


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone can't be read"):
        find_token(tmp_path / "gone")
