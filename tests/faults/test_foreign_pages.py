"""Pages and servers on this machine that obey what others put into a name, a page or a header."""

import base64
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from hgmnet.config.data import Data
from hgmnet.config.params import load_params
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import InvalidDataError
from hgmnet.serving.api import build_app
from hgmnet.serving.demo.app import build_demo
from hgmnet.serving.model_card import card_beside
from hgmnet.serving.model_slot import ModelSlot, load_folder
from hgmnet.splitting.pairs import Pair
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.operations.local_services import Services
from pipelines.stages import validate
from pipelines.validation.expectations import Rule, between, check
from tests.devtools import CHROMIUM, browser
from tests.records import record
from tests.servers import free_port
from tests.shared import give_prefect_db
from tests.tiny_repository import make_repository

QUICKSTART = Path(__file__).resolve().parents[2] / "profiles/quickstart.yaml"
SCRIPT = "document.body.dataset.ran=1"
NAME = f"benign/<img src=x onerror={SCRIPT}>.png"
HERE = "http://127.0.0.1:8080"
ELSEWHERE = "https://elsewhere.example"


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages of a validation that names an image; its name is markup."""
    space = Workspace(tmp_path_factory.mktemp("judged"), "phantom")
    write_rows(space.pairs, Pair, [])
    write_rows(space.manifest, ImageRecord, [record(NAME, masks_match=False)])
    data = Data(name="phantom", classes=("benign", "malignant", "normal"))
    try:
        validate.run(space.root, data, load_params(QUICKSTART).validate_)
    except InvalidDataError:
        return sorted(space.data_docs.rglob("*.html"))
    raise RuntimeError("the image passed, so no page names it")


def test_the_pages_name_the_image(docs: list[Path]) -> None:
    assert any(SCRIPT in page.read_text(encoding="utf-8") for page in docs)


def test_a_name_is_no_markup_in_the_pages(docs: list[Path]) -> None:
    obeying = [page.name for page in docs if Reader(page).obeys]
    assert obeying == []


HOSTILE = (
    "benign/<script>.png",
    "benign/<meta http-equiv=refresh content=0;url=//evil.example>.png",
    "benign/</td></table><form action=//evil.example>.png",
    "benign/a&lt;b & $c ${d}'\".png",
)


def test_a_page_has_no_element_of_a_name_and_a_message_has_the_name_itself(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": HOSTILE, "masks": 0})
    (found,) = check("x", table, "image", [Rule("it has a mask", between("masks", 1))], tmp_path)
    assert set(found.broken_by) == set(HOSTILE)
    (page,) = (tmp_path / "validations").rglob("*.html")
    elements = Reader(page).elements
    assert not {"script", "form"} & {name for name, _ in elements}
    assert not [about for name, about in elements if name == "meta" and "refresh" in str(about)]
    assert page.read_text(encoding="utf-8").count("evil.example") >= 2


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_runs_no_name_as_a_script(docs: list[Path], tmp_path: Path) -> None:
    own = tmp_path / "own.html"
    own.write_text(f"<!doctype html><body><img src=x onerror={SCRIPT}></body>", encoding="utf-8")
    with browser(tmp_path / "profile") as tab:
        tab.open(own.as_uri())
        if not tab.ask("document.body.dataset.ran === '1'"):
            raise RuntimeError("the browser runs no script at all")
        ran = []
        for page in docs:
            tab.open(page.as_uri())
            ran += [page.name] if tab.ask("document.body.dataset.ran === '1'") else []
    assert ran == []


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def image(workspace: Workspace) -> bytes:
    return next(workspace.raw.rglob("*.png")).read_bytes()


@pytest.fixture(scope="module")
def served(workspace: Workspace) -> TestClient:
    """`hgmnet serve`."""
    return TestClient(build_app(ModelSlot(load_folder(workspace.model))), base_url=HERE)


@pytest.fixture(scope="module")
def demo(workspace: Workspace) -> TestClient:
    """`hgmnet demo`."""
    app = build_demo(ModelSlot(load_folder(workspace.model)), card_beside(workspace.model))
    return TestClient(app, base_url=HERE)


def test_own_pages_and_programs_are_answered(
    served: TestClient, demo: TestClient, image: bytes
) -> None:
    for client, path in ((served, "/predict"), (demo, "/look")):
        assert client.get("/health").status_code == 200
        assert client.post(path, content=image).status_code == 200
        assert client.post(path, content=image, headers={"Origin": HERE}).status_code == 200


def test_the_demo_knows_its_own_name(demo: TestClient) -> None:
    assert demo.get("/health", headers={"Host": "elsewhere.example"}).status_code == 400


def test_the_server_knows_its_own_name(served: TestClient) -> None:
    status = served.get("/health", headers={"Host": "elsewhere.example"}).status_code
    assert 400 <= status < 500


@pytest.mark.parametrize(("server", "path"), [("served", "/predict"), ("demo", "/look")])
def test_a_page_elsewhere_can_have_nothing_worked_on(
    request: pytest.FixtureRequest, image: bytes, server: str, path: str
) -> None:
    client: TestClient = request.getfixturevalue(server)
    headers = {"Origin": ELSEWHERE, "Content-Type": "text/plain"}  # what no browser asks about
    assert 400 <= client.post(path, content=image, headers=headers).status_code < 500


def test_the_page_about_the_server_needs_no_other_host(served: TestClient) -> None:
    assert "cdn.jsdelivr.net" not in served.get("/docs").text


PASSWORD = "me:S3cret"  # noqa: S105 - of a server that lives for seconds


@pytest.fixture
def secured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """A port for `hgmnet up`, secured as docs/automation.md says."""
    give_prefect_db(tmp_path / ".hgmnet/prefect")
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, PASSWORD)
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    return free_port()


@pytest.mark.slow
@pytest.mark.long
def test_up_comes_up_with_a_password(secured: int, tmp_path: Path) -> None:
    error = ""
    with Services(tmp_path) as services:
        try:
            services.start_prefect(secured)
            services.await_server("Prefect")
        except Exception as raised:
            error = repr(raised)
        asked = [asks(secured, password) for password in ("", PASSWORD)]
    if asked != [401, 200]:
        raise RuntimeError(f"without and with the password the server answers {asked}; {error}")
    assert error == ""


class Reader(HTMLParser):
    """Reads a page; `obeys`: whether a browser would run the script of the name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self._runs = self._forbidden = False
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    @property
    def obeys(self) -> bool:
        return self._runs and not self._forbidden

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.elements.append((tag, known))
        self._runs |= any(n.startswith("on") and SCRIPT in v for n, v in known.items())
        if known.get("http-equiv", "").lower() == "content-security-policy":
            rules = dict(f"{rule.strip()} ".split(" ", 1) for rule in known["content"].split(";"))
            about = rules.get("script-src", rules.get("default-src", "'unsafe-inline'"))
            self._forbidden |= "'unsafe-inline'" not in about


def asks(port: int, password: str) -> int:
    """The status that the server answers with."""
    headers = {"Content-Type": "application/json"}
    if password:
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    url = f"http://127.0.0.1:{port}/api/flow_runs/filter"
    request = Request(url, b"{}", headers)
    for _ in range(60):
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return int(answer.status)
        except HTTPError as error:
            if error.code != 503:  # its database is locked
                return error.code
            time.sleep(0.5)
    return 503
