"""deploy/: what can be checked of images and services without Docker."""

import argparse
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hgmnet.cli import model as alone
from pipelines.cli import model as in_checkout
from tests.imports import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
FILES = sorted(DEPLOY.glob("*.Dockerfile"))
COMPOSE = YAML(typ="safe", pure=True).load((DEPLOY / "compose.yaml").read_text())
MADE = {"dist"}  # by `uv build --wheel`


def instructions(file: Path) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile and its words, with lines joined."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def values(file: Path, instruction: str) -> list[str]:
    return [words for name, words in instructions(file) if name == instruction]


def test_there_are_two_images() -> None:
    assert [file.stem for file in FILES] == ["serve", "worker"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_that_are_copied_exist_and_are_sent_to_the_build(file: Path) -> None:
    sent = re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE)
    sources = [
        source
        for words in values(file, "COPY")
        if not words.startswith("--from")
        for source in words.split()[:-1]
    ]
    assert sources
    for source in sources:
        top = source.split("/")[0]
        assert top in sent
        assert top in MADE or (REPOSITORY / source).exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_images_are_pinned_and_no_process_is_root(file: Path) -> None:
    assert all(re.search(r":[\w.]+-", words) for words in values(file, "FROM"))
    assert int(values(file, "USER")[-1]) > 0
    last = max(i for i, (name, _) in enumerate(instructions(file)) if name == "USER")
    assert "RUN" not in [name for name, _ in instructions(file)[last:]]


def test_no_index_is_named() -> None:
    (serve,) = (file for file in FILES if file.stem == "serve")
    assert values(serve, "ARG") == ['TORCH_INDEX=""']
    assert all(
        "://" not in words.replace("http://127.0.0.1", "") for _, words in instructions(serve)
    )


def test_the_served_command_parses() -> None:
    (serve,) = (file for file in FILES if file.stem == "serve")
    program, command, *words = json.loads(values(serve, "ENTRYPOINT")[0])
    parser = argparse.ArgumentParser()
    alone.configure_serve(parser)
    args = parser.parse_args(words)
    assert (program, command) == ("hgmnet", "serve")
    assert [str(args.port)] == values(serve, "EXPOSE")
    assert (args.host, str(args.model)) == ("0.0.0.0", "/model")  # noqa: S104


@pytest.mark.parametrize(("status", "ends"), [(200, 0), (503, 1)])
def test_the_health_check_sends_the_token_and_sees_a_failure(status: int, ends: int) -> None:
    sent = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    (serve,) = (file for file in FILES if file.stem == "serve")
    words = values(serve, "HEALTHCHECK")[0]
    _, *command = json.loads(words[words.index("[") :])
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        command[-1] = command[-1].replace("8080", str(server.server_port))
        environment = os.environ | {"HGMNET_TOKEN": "secret"}
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, check=False
        )
    assert (done.returncode, sent) == (ends, [("/health", "Bearer secret")])


def test_services_are_of_our_images_or_pinned_and_listen_on_this_machine() -> None:
    for service in COMPOSE["services"].values():
        assert service["image"] == "hgmnet-worker" or re.search(r":\d+", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    build = COMPOSE["services"]["worker"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() in FILES


def test_no_secret_has_a_value() -> None:
    words = re.findall(r"\$\{(\w*(?:PASSWORD|AUTH|TOKEN|KEY)\w*)(.*?)\}", str(COMPOSE))
    assert len(words) >= 5
    assert all(rest.startswith(":?") or rest == ":-" for _, rest in words)


def test_the_services_commands_parse() -> None:
    from mlflow.cli import server

    commands = {
        name: shlex.split(service["command"])
        for name, service in COMPOSE["services"].items()
        if "command" in service
    }
    parser = argparse.ArgumentParser()
    in_checkout.configure_serve(parser)
    assert parser.parse_args(commands["serve"][2:]).request_log
    assert commands["mlflow"][:2] == ["mlflow", "server"]
    assert server.make_context("server", commands["mlflow"][2:]).params["port"] == 5000
    deployments = YAML(typ="safe", pure=True).load((REPOSITORY / "prefect.yaml").read_text())
    pool = deployments["definitions"]["pool"]["name"]
    assert commands["worker"][:5] == ["prefect", "worker", "start", "--pool", pool]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_hadolint_finds_nothing(file: Path) -> None:
    if not shutil.which("hadolint"):
        pytest.skip("needs hadolint")
    done = subprocess.run(["hadolint", file], capture_output=True, text=True, check=False)
    assert done.stdout == ""
