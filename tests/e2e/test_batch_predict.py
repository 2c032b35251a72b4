"""`hgmnet flow batch_predict`: every image once, with one process, with Dask, and after a kill."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hgmnet.data.reader import decode_file
from hgmnet.inference.predictor import TorchPredictor
from pipelines.artifacts.paths import Workspace
from pipelines.prediction.batch import Job, asked_for, join, left, predict_part
from tests.one_version import register_model
from tests.processes import working_below
from tests.servers import prefect_server
from tests.tiny_repository import make_repository

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
IMAGES = 60


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A registered version, and a folder of images, one of them broken."""
    space = make_repository(tmp_path_factory.mktemp("batch") / "repository")
    (space.root / "dvc.yaml").touch()
    register_model(space)
    generator = np.random.default_rng(0)
    for i in range(IMAGES):
        path = space.root / "inbox" / f"day{i % 3}" / f"scan {i // 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = generator.integers(0, 256, (50 + i, 60), dtype=np.uint8)
        Image.fromarray(grey).save(path)
    (space.root / "inbox/broken.png").write_text("not an image")
    return space


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def start(space: Workspace, url: str, source: str, out: Path, *words: str) -> subprocess.Popen[str]:
    wanted = ["--out", str(out), "--version", "1", "--part", "5", *words]
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "flow", "batch_predict", source, *wanted],
        cwd=space.root,
        env=os.environ | {"PREFECT_API_URL": url, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(
    space: Workspace, url: str, source: str, out: Path, *words: str, status: int = 4
) -> tuple[pd.DataFrame, str]:
    process = start(space, url, source, out, *words)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status, said
    return rows_of(out), said


def rows_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions.parquet").sort_values("image", ignore_index=True)


def masks_of(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / "masks").rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(
    workspace: Workspace, url: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, pd.DataFrame, str]:
    """All of it in one process."""
    out = tmp_path_factory.mktemp("alone")
    return out, *run(workspace, url, "inbox", out)


def test_a_row_and_a_mask_an_image_as_the_model_says(
    workspace: Workspace, alone: tuple[Path, pd.DataFrame, str]
) -> None:
    out, rows, said = alone
    assert "1 of 61 images could not be read" in said.splitlines()[-1]
    assert list(rows["image"]) == sorted(
        path.relative_to(workspace.root / "inbox").as_posix()
        for path in (workspace.root / "inbox").rglob("*.png")
    )
    assert len(masks_of(out)) == IMAGES
    (bad,) = rows[rows["error"].notna()].to_dict("records")
    assert bad["image"] == "broken.png"
    assert pd.isna(bad["mask"])
    predictor = TorchPredictor.load(workspace.model)
    for row in rows[rows["error"].isna()].iloc[::7].to_dict("records"):
        data = (workspace.root / "inbox" / row["image"]).read_bytes()
        finding = predictor.predict([decode_file(data, "").grey])[0]
        assert row["decision"] == finding.decision
        assert row["model_sha256"] == predictor.identity
        assert row["prob_benign"] == pytest.approx(finding.probs["benign"], abs=1e-4)
        with Image.open(out / row["mask"]) as png:
            np.testing.assert_array_equal(np.asarray(png) > 0, finding.mask)


def test_two_dask_workers_say_the_same_also_if_one_is_killed(
    workspace: Workspace, url: str, alone: tuple[Path, pd.DataFrame, str], tmp_path: Path
) -> None:
    process = start(workspace, url, "inbox", tmp_path, "--workers", "2")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "parts").glob("*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (worker, *others) = workers(workspace.root)
    assert others
    os.kill(worker, 9)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 4, said
    pd.testing.assert_frame_equal(rows_of(tmp_path), alone[1])
    assert masks_of(tmp_path) == masks_of(alone[0])
    assert not list((tmp_path / "parts").iterdir())
    assert not working_below(workspace.root)


def workers(root: Path) -> list[int]:
    """Dask's worker processes."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in working_below(root)}
    return [pid for pid, line in lines.items() if b"multiprocessing.spawn" in line]


def test_a_killed_run_goes_on_where_it_was(
    workspace: Workspace, url: str, alone: tuple[Path, pd.DataFrame, str], tmp_path: Path
) -> None:
    process = start(workspace, url, "inbox", tmp_path)
    while len(list((tmp_path / "parts").glob("*.parquet"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=60)
    done = sum(len(pd.read_parquet(path)) for path in (tmp_path / "parts").glob("*.parquet"))
    rows, said = run(workspace, url, "inbox", tmp_path)
    assert f"61 images, {61 - done} of them new" in said
    pd.testing.assert_frame_equal(rows, alone[1])


def test_a_table_and_a_changed_file_are_asked_and_nothing_twice(
    workspace: Workspace, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    shutil.copy(workspace.root / "inbox/day0/scan 0.png", image)
    table = tmp_path / "asked.csv"
    table.write_text("image\na.png\nnowhere.png\n")
    sha = TorchPredictor.load(workspace.model).identity
    job = Job(
        workspace.exports, workspace.model, sha, "torch", ("made up", "torch"), tmp_path / "out"
    )

    def carry_out() -> tuple[int, pd.DataFrame]:
        asked = asked_for(table).images
        todo = left(job, asked)
        if todo:
            predict_part(job, todo)
        return len(todo), join(job, asked)

    count, rows = carry_out()
    assert (count, list(rows["image"])) == (2, ["a.png", "nowhere.png"])
    assert "No such file" in rows["error"][1]
    assert carry_out()[0] == 0
    Image.open(image).rotate(90, expand=True).save(image)
    count, turned = carry_out()
    assert count == 1
    assert turned["bytes"][0] != rows["bytes"][0]
    assert len(pd.read_parquet(tmp_path / "out/predictions.parquet")) == 2
    other = replace(job, sha256="another")
    assert len(left(other, asked_for(table).images)) == 2
