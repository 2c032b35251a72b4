"""Commands and servers that end in a traceback where one line would say what is wrong."""

import asyncio
import json
import os
import shutil
import subprocess

import pytest
from fastapi.testclient import TestClient

from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from tests.asgi import Post
from tests.one_version import make_one_version
from tests.run_here import must_run, run_here
from tests.source_files import encoded
from tests.warm import launcher


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository with version 1, and in `s` tables of one image."""
    workspace = make_one_version(tmp_path_factory.mktemp("tracebacks") / "here")
    source = workspace.root / "s"
    source.mkdir()
    (source / "a.png").write_bytes(encoded())
    (source / "empty.csv").write_text("image,label\n")
    (source / "long.csv").write_text(f"image,label\na.png,{'x' * 300}\n")
    (source / "odd.csv").write_text("image,label\na.png,be nign\n")
    return workspace


MODEL = "models/hgmnet"
WORDS = {
    "an address with an umlaut": ("import", "umlaut", "https://127.0.0.1:1/Überblick.zip"),
    "an address with half a bracket": ("import", "bracket", "https://[::1/x.zip"),
    "an address whose port is a word": ("import", "port", "https://127.0.0.1:http/x.zip"),
    "an address in Latin-1": ("import", "latin", os.fsdecode(b"https://127.0.0.1/\xfc.zip")),
    "a file's address with half a bracket": ("import", "bracket", "file://[/x.zip"),
    "an empty table": ("import", "empty", "s/empty.csv"),
    "a class of 300 letters": ("import", "long", "s/long.csv"),
    "a data set of 300 letters": ("import", "x" * 300, "s/empty.csv"),
    "a class that can't be one": ("import", "odd", "s/odd.csv"),
    "no such address": ("import", "ftp", "ftp://127.0.0.1/x.zip"),
    "an image of 300 letters": ("predict", "x" * 300, "--out", "o", "--model", MODEL),
    "predictions into a file": ("predict", "s/a.png", "--out", "s/a.png", "--model", MODEL),
    "predictions below a file": ("predict", "s/a.png", "--out", "s/a.png/o", "--model", MODEL),
    "port 70000": ("serve", "--port", "70000"),
    "port 70000 of a server": ("up", "--mlflow-port", "70000"),
    "port -1": ("demo", "--port", "-1"),
    "port 1": ("serve", "--host", "192.0.2.1", "--port", "1"),
    "a model that is not there": ("serve", "--port", "0", "--model", "nothing"),
    "version 99 of one": ("serve", "--port", "0", "--version", "99"),
    "version x": ("serve", "--port", "0", "--version", "x"),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_line_says_what_is_wrong(registered: Workspace, words: tuple[str, ...]) -> None:
    refused(registered, words)


def refused(registered: Workspace, words: tuple[str, ...]) -> None:
    """Hold that a command ends with a status of its own and one line."""
    ended = run_here(registered.root, *words)
    assert ended.status in {1, 2, 4}, ended.err
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith("hgmnet")


@pytest.fixture(scope="module")
def client(registered: Workspace) -> TestClient:
    app = build_app(ModelSlot(load_folder(registered.model)))
    return TestClient(app, raise_server_exceptions=False)


def test_a_batch_without_images_is_refused(client: TestClient) -> None:
    assert ask(client, b'{"inputs":[{"x":1}]}') == 400


def test_a_column_that_utf_8_has_not_is_refused(client: TestClient) -> None:
    assert 400 <= ask(client, b'{"inputs":[{"\\ud800":1}]}') < 500


def test_a_client_that_sends_all_is_answered(client: TestClient) -> None:
    request = Post(client.app, "/predict", encoded())
    asyncio.run(request.send())
    assert request.status == 200


def test_a_client_that_hangs_up_is_no_error(client: TestClient) -> None:
    error = None
    try:
        asyncio.run(Post(client.app, "/predict", encoded(), sent=1).send())
    except Exception as raised:  # which a server writes down
        error = raised
    assert error is None


def test_a_terminal_that_knows_every_letter(registered: Workspace) -> None:
    assert "≥" in must_run(registered.root, "register").out


def test_a_terminal_that_knows_few_letters(registered: Workspace) -> None:
    ended = run_here(registered.root, "register", encoding="iso-8859-1")
    assert ended.status == 0, ended.err


NOBODY = """
import pwd, sys
from pipelines.cli.main import main

def unknown(_):
    raise KeyError("uid not found")

pwd.getpwuid = unknown
sys.exit(main(sys.argv[1:]))
"""
"""As in a container whose user has a number only."""


def test_a_user_without_a_name_or_a_home_sees_the_help(registered: Workspace) -> None:
    assert as_nobody(registered, "--help").returncode == 0


def test_a_user_without_a_name_or_a_home_sees_the_history(registered: Workspace) -> None:
    must_run(registered.root, "history")
    done = as_nobody(registered, "history")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 2}


EACH = """
import io, json, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from pipelines.cli.main import main

written = {}
for line in sys.argv[1:]:
    with redirect_stderr(io.StringIO()) as err, redirect_stdout(io.StringIO()):
        try:
            main(line.split())
        except Exception:
            traceback.print_exc()
    written[line] = err.getvalue()
print(json.dumps(written))
"""
READING = ("history", "versions", "predict s/a.png --out ../out --version 1", "promote")


@pytest.fixture(scope="module")
def read_only(registered: Workspace) -> dict[str, str]:
    """What commands write to stderr where the checkout lies on a disk that takes nothing."""
    mount = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD"'
    unshare = ["unshare", "--mount", "sh", "-c"]
    where = {"cwd": registered.root, "capture_output": True, "text": True}
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, to have a disk that is read-only")
    if subprocess.run([*unshare, mount], check=False, **where).returncode != 0:
        pytest.skip("nothing may be mounted here")
    must_run(registered.root, "history")
    words = [launcher.real_python(), "-c", EACH, *READING]
    there = [*unshare, f'{mount} && exec "$@"', "sh"]
    done = subprocess.run([*there, *words], check=True, **where)
    written: dict[str, str] = json.loads(done.stdout)
    return written


@pytest.mark.slow
@pytest.mark.parametrize("words", READING, ids=lambda words: words.partition(" ")[0])
def test_a_read_only_disk_is_no_traceback(read_only: dict[str, str], words: str) -> None:
    assert "Traceback" not in read_only[words], read_only[words]


def ask(client: TestClient, batch: bytes) -> int:
    """The status that a batch is answered with."""
    headers = {"Content-Type": "application/json"}
    return client.post("/invocations", content=batch, headers=headers).status_code


def as_nobody(registered: Workspace, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command of a user whom the machine has no name and no home for."""
    known = {"HOME", "LNAME", "LOGNAME", "USER", "USERNAME"}
    return subprocess.run(
        [launcher.real_python(), "-c", NOBODY, *words],
        cwd=registered.root,
        env={name: value for name, value in os.environ.items() if name not in known},
        capture_output=True,
        text=True,
        check=False,
    )
