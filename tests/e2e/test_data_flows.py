"""`hgmnet flow data_watch` and `monitoring`: a source that grows, and images that are not alike."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy.ndimage import binary_erosion

from hgmnet.config.data import Phantom
from hgmnet.evaluation.drift import Profile, summarise
from hgmnet.models.spec import PROFILE
from hgmnet.phantom import generate
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import STAGES
from tests.change_plans import write_plans
from tests.servers import prefect_server
from tests.tiny_repository import evaluated, make_repository

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def run(root: Path, *words: str, **env: str) -> tuple[int, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=root,
        env=kept | {"PATH": path} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = Request(f"{url}{path}", json.dumps(body).encode(), headers)  # noqa: S310
    with urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def draw(folder: Path, count: int) -> Path:
    """A source of phantoms; more of them leaves those before as they are."""
    kinds = {"benign": count, "malignant": count, "normal": count}
    generate.generate(Phantom(seed=7, copies=0, width=130, height=120, **kinds), folder)
    return folder


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository with an imported data set, and its source; after validate stages only talk."""
    folder = tmp_path_factory.mktemp("watch")
    root, source = folder / "here", draw(folder / "source", 4)
    root.mkdir()
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/quickstart.yaml").read_text())
    params["data"]["name"] = "clinic"
    params["validate"]["min_per_class"] = 4
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    write_plans(root, allowed={"data": {"sets": ["clinic"]}})
    stages = yaml.load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in list(STAGES)[4:-1]:
        stages[name] = {"cmd": f"echo {name} >> ran"}
    stages["split"] = {"cmd": "echo split >> ran"}
    stages["prepare"] = {"cmd": "echo prepare >> ran; exit 4"}  # there is nothing to register
    del stages["register"]
    with (root / "dvc.yaml").open("w") as file:
        yaml.dump({"stages": stages}, file)
    for name in ("hgmnet", "pipelines"):
        (root / name).symlink_to(ROOT / name)
    assert run(root, "dvc", "init", "-q", "--no-scm")[0] == 0
    status, output = run(root, "pipelines", "import", "clinic", str(source))
    assert status == 0, output
    for stage in ("ingest", "validate"):
        status, output = run(root, "dvc", "repro", "-s", stage)
        assert status == 0, output
    return root, source


def watch(clinic: tuple[Path, Path], url: str, *words: str) -> tuple[int, str, str]:
    """Exit status, what was printed, and the name of the flow's state."""
    root, source = clinic
    flow = ["pipelines", "flow", "data_watch", str(source), *words]
    status, output = run(root, *flow, PREFECT_API_URL=url)
    runs = ask(url, "/flow_runs/filter", {"sort": "START_TIME_DESC"})
    outer = [one for one in runs if not one["parent_task_run_id"]]
    return status, output, outer[0]["state"]["name"]


def test_a_source_that_grows(clinic: tuple[Path, Path], url: str, tmp_path: Path) -> None:
    status, output, state = watch(clinic, url)
    assert (status, state) == (0, "Unchanged"), output
    assert not (clinic[0] / "ran").exists()

    shutil.copytree(draw(tmp_path / "more", 5), clinic[1], dirs_exist_ok=True)
    status, output, state = watch(clinic, url, "--no-train")
    assert (status, state) == (0, "Completed"), output
    assert "3 images are new, 0 have another label or mask, 0 are gone" in output
    assert (Workspace(clinic[0], "clinic").raw / "normal" / "normal (5).png").exists()
    assert watch(clinic, url)[::2] == (0, "Unchanged")

    mask = clinic[1] / "benign" / "benign (3)_mask.png"
    with Image.open(mask) as image:
        smaller = binary_erosion(np.asarray(image) > 0, iterations=2)
    Image.fromarray(smaller).save(mask)
    status, output, state = watch(clinic, url)
    assert (status, state) == (4, "Invalid data"), output
    assert "0 images are new, 1 have another label or mask, 0 are gone" in output
    assert (clinic[0] / "ran").read_text().split() == ["split", "prepare"]


def test_what_is_broken_is_told_and_the_images_stay(clinic: tuple[Path, Path], url: str) -> None:
    raw = Workspace(clinic[0], "clinic").raw
    before = sorted(raw.rglob("*"))
    for file in clinic[1].rglob("*.png"):
        file.write_bytes(b"no image")
    status, output, state = watch(clinic, url)
    assert (status, state) == (4, "Invalid data"), output
    assert "Traceback" not in output
    assert sorted(raw.rglob("*")) == before


def test_images_that_are_not_alike(
    url: str, tmp_path_factory: pytest.TempPathFactory, busi: Path
) -> None:
    """BUSI against a model of made-up images; the champion's profile is of no image of it."""
    space = make_repository(tmp_path_factory.mktemp("monitoring") / "here")
    root, dark = space.root, [5 + i / 100 for i in range(200)]
    reference = summarise(dark, [str(i) for i in range(200)])
    write_json(space.model / PROFILE, Profile(data="phantom", columns={"brightness": reference}))
    evaluated(space)
    (root / "dvc.yaml").touch()
    assert run(root, "pipelines", "register")[0] == 0
    words = ("pipelines", "flow", "monitoring", str(busi / "normal"), "--version", "1")
    status, output = run(root, *words, PREFECT_API_URL=url)
    assert status == 0, output
    assert "drifted in" in output
    told, deadline = {}, time.monotonic() + 60
    while len(told) < 2 and time.monotonic() < deadline:  # the server writes them in the background
        wanted = {"filter": {"event": {"prefix": ["hgmnet."]}}}
        told = {event["event"]: event for event in ask(url, "/events/filter", wanted)["events"]}
        time.sleep(0.5)
    assert told["hgmnet.data.drifted"]["resource"]["prefect.resource.id"] == "hgmnet.data.phantom"
    assert told["hgmnet.model.revalidate"]["payload"]["clause"] == "revalidate.drifted_share_above"
