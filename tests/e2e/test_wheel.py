"""The package as a wheel, installed where there is no checkout, no MLflow, DVC or Prefect.

Its environment holds the wheel, and of the other packages those that hgmnet's base and the extras
`serve` and `onnx` bring, lent by the environment of the tests.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.blocked import HIDING
from tests.imports import REPOSITORY
from tests.tiny_repository import make_repository

pytestmark = pytest.mark.slow
ABSENT = ("mlflow", "dvc", "prefect", "great_expectations", "pipelines")
HIDE = f"""
import sys

blocked = {ABSENT}
{HIDING}
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "hgmnet", source / "hgmnet", ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    words = ("-q", "--wheel", "--no-build-isolation", "--offline", "--out-dir", folder, source)
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
    subprocess.run([uv, "build", *words], check=True, env=environment, timeout=120)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of commands of an environment with the wheel."""
    home = tmp_path_factory.mktemp("an environment")
    base = Path(sys.base_prefix) / "bin" / "python3"
    subprocess.run([base, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    words = ("install", "-q", "--offline", "--no-deps", "--python", home / "bin" / "python", wheel)
    subprocess.run([Path(sysconfig.get_path("scripts")) / "uv", "pip", *words], check=True)
    (packages / "hide.py").write_text(HIDE)
    (packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport hide\n")
    return home / "bin"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PYTHONPATH", "PYTHONHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def typed(installed, *words):
    command = [installed / "hgmnet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_it_holds_hgmnet_alone_with_its_texts(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"hgmnet"}
    texts = ("py.typed", "__init__.pyi", "estimator/recipe.yaml", "serving/demo/templates/page.css")
    assert {f"hgmnet/{name}" for name in texts} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_command_lists_what_needs_no_checkout(installed, elsewhere):
    done = typed(installed, "--help")
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^  ([\w-]+)  ", done.stdout, re.MULTILINE)
    assert listed == ["predict", "export", "serve", "demo", "score", "log", "score-served"]
    assert re.fullmatch(r"hgmnet \d+\.\d+\.\d+\n", typed(installed, "--version").stdout)
    refused = typed(installed, "promote")
    assert refused.returncode == 2
    assert "invalid choice: 'promote'" in refused.stderr


def test_it_predicts_files(installed, elsewhere, model):
    done = typed(installed, "predict", model.raw, "--out", "out", "--model", model.model)
    assert done.returncode == 0, done.stderr
    assert "6 images predicted by" in done.stdout
    assert len((elsewhere / "out" / "predictions.csv").read_text().splitlines()) == 7
    wrong = typed(installed, "predict", model.raw, "--out", "out", "--model", "nowhere")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("hgmnet: Config: nowhere/")


@pytest.mark.long
def test_it_serves(installed, elsewhere, model):
    image = next(model.raw.rglob("*.png"))
    command = [installed / "hgmnet", "serve", "--port", "0", "--model", model.model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = re.search(r"at (http://\S+);", server.stdout.readline()).group(1)
            answer = httpx.post(f"{address}/predict", content=image.read_bytes(), timeout=60)
        finally:
            server.send_signal(signal.SIGINT)
    assert answer.status_code == 200
    assert answer.json()["decision"] in {"benign", "malignant", "normal"}


@pytest.mark.long
def test_it_exports(installed, elsewhere, model):
    done = typed(installed, "export", "--model", model.model, "--out", "model.onnx")
    assert done.returncode == 0, done.stderr
    assert "(phantom images)" in done.stdout
    again = typed(installed, "predict", model.raw, "--out", "out", "--model", "model.onnx")
    assert "onnxruntime" in again.stdout
