"""`hgmnet plan` as typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config.params import load_params
from hgmnet.data.image_record import ImageRecord
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from tests.imports import REPOSITORY
from tests.records import record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text = (REPOSITORY / "profiles/quickstart.yaml").read_text()
    small = text.replace("tu-resnet10t", "mobilenet_v2")
    (tmp_path / "params.yaml").write_text(small)
    (tmp_path / "dvc.yaml").touch()
    return tmp_path


def hgmnet(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", "plan", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_without_a_manifest_it_says_what_to_run(root: Path) -> None:
    done = hgmnet(root)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("manifest.csv is missing; first: dvc repro ingest")


def test_it_prints_reasons_and_writes_only_when_asked(root: Path) -> None:
    rows = [record(f"benign/{i}.png", width=100, height=90) for i in range(40)]
    write_rows(Workspace(root, "phantom").manifest, ImageRecord, rows)
    before = (root / "params.yaml").read_text()
    done = hgmnet(root, "--minutes", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# phantom: 40 images, on ")
    assert (root / "params.yaml").read_text() == before
    assert hgmnet(root, "--minutes", "5", "--write").returncode == 0
    params = load_params(root / "params.yaml")
    assert params.prepare.side == 64
    assert (params.prepare.fit, params.train.batch_size) == ("stretch", 4)
    assert (root / "params.yaml").read_text().splitlines()[0] == before.splitlines()[0]


def test_no_time_is_refused(root: Path) -> None:
    assert "expected more than 0" in hgmnet(root, "--minutes", "0").stderr
