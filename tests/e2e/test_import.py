"""`hgmnet import`, `ingest`, `split` and `resplit` in a real git and DVC repository."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.data.image_record import ImageRecord
from hgmnet.splitting.split_lock import Lock, SplitRow
from pipelines.artifacts.io import read_json, read_rows, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.validation import ValidationReport
from tests.source_files import bus_bra, encoded, folder, zipped
from tests.whole_repository import copy_code

REPOSITORY = Path(__file__).resolve().parents[2]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_source(folder, images):
    """`images` of each class, no two alike."""
    rng = np.random.default_rng(0)
    for label in ("benign", "malignant", "normal"):
        for number in range(images):
            save(folder / label / f"{label} ({number}).png", rng.integers(0, 256, (8, 9), np.uint8))
            lesion = np.uint8(0 if label == "normal" else 255)
            mask = np.pad(np.full((2, 2), lesion, np.uint8), ((3, 3), (3, 4)))
            save(folder / label / f"{label} ({number})_mask.png", mask)
    return folder


@pytest.fixture
def checkout(tmp_path):
    """What a stage needs of a repository; neither git nor DVC knows it."""
    root = tmp_path / "repository"
    root.mkdir()
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(REPOSITORY / name, root / name)
    copy_code(root)  # dvc.yaml names it
    params = (REPOSITORY / "profiles/quickstart.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("name: phantom", "name: tiny", 1))
    return root


@pytest.fixture
def repository(checkout):
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    run(checkout, "dvc", "init", "-q")
    return checkout


def run(root, module, *words, status=0):
    """`python -m <module> <words>`; its stdout, or where it fails its stderr."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=root,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def validated(root):
    report = ValidationReport(
        data="tiny",
        passed=True,
        images=1,
        per_class={},
        shares={},
        expectations=1,
        failures=(),
        conflicts=(),
    )
    write_json(Workspace(root, "tiny").validation, report)


@pytest.mark.slow
def test_a_folder_becomes_a_data_set_that_dvc_knows(repository, tmp_path):
    source = make_source(tmp_path / "source/deep", 4).parent
    said = run(repository, "pipelines", "import", "tiny", str(source))
    assert "benign: 4 images" in said
    assert "Next: hgmnet init tiny, which writes its settings, then: dvc repro" in said
    assert (repository / "data/tiny/raw.dvc").is_file()
    assert (repository / "data/tiny/curation.csv").read_text() == "image,group,exclude,reason\n"
    assert run(repository, "dvc", "status", "data/tiny/raw.dvc").startswith("Data and pipelines")
    untracked = subprocess.run(
        ["git", "status", "--short", "-uall", "data"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert untracked.stdout.split() == ["??", "data/tiny/curation.csv", "??", "data/tiny/raw.dvc"]

    run(repository, "dvc", "repro", "-q", "-s", "ingest")
    manifest = (repository / "data/tiny/manifest.csv").read_text().splitlines()
    assert len(manifest) == 1 + 12

    again = run(repository, "pipelines", "import", "tiny", str(source), status=4)
    assert again.startswith("hgmnet: InvalidData: ")
    assert "--replace" in again
    shutil.rmtree(source / "deep/normal")
    run(repository, "pipelines", "import", "tiny", str(source), "--replace")
    assert not (repository / "data/tiny/raw/normal").exists()
    assert run(repository, "dvc", "status", "data/tiny/raw.dvc").startswith("Data and pipelines")


@pytest.mark.slow
def test_the_split_is_locked_extended_and_dealt_anew(checkout, tmp_path):
    space = Workspace(checkout, "tiny")
    shutil.copytree(make_source(tmp_path / "source", 10), space.raw)
    space.curation.write_text("image,group,exclude,reason\n")
    run(checkout, "pipelines", "ingest")
    validated(checkout)
    run(checkout, "pipelines", "split")
    rows, lock = read_rows(space.split_csv, SplitRow), read_json(space.split_json, Lock)
    assert len(rows) == 30
    before = space.split_csv.read_bytes(), space.split_json.read_bytes()
    run(checkout, "pipelines", "split")
    assert (space.split_csv.read_bytes(), space.split_json.read_bytes()) == before

    save(space.raw / "benign/new.png", np.full((8, 9), 3, np.uint8))
    save(space.raw / "benign/new_mask.png", np.full((8, 9), 255, np.uint8))
    run(checkout, "pipelines", "ingest")
    run(checkout, "pipelines", "split")
    assert {row.name for row in read_rows(space.split_csv, SplitRow)} - {r.name for r in rows} == {
        "new"
    }
    longer = read_json(space.split_json, Lock)
    assert longer.lock_id == lock.lock_id
    assert len(longer.entries) == 2

    text = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(text.replace("split:\n  seed: 0", "split:\n  seed: 7"))
    assert "hgmnet resplit --reason" in run(checkout, "pipelines", "split", status=2)
    run(checkout, "pipelines", "resplit", "--reason", "another seed")
    assigned = read_json(space.split_json, Lock)
    assert assigned.lock_id != lock.lock_id
    assert assigned.seed == 7
    assert [entry.reason for entry in assigned.entries][-1] == "another seed"
    run(checkout, "pipelines", "split")

    space.split_csv.write_text(space.split_csv.read_text().replace(",test,", ",train,", 1))
    refused = run(checkout, "pipelines", "split", status=4)
    assert "split.csv is not the one that split.json locked" in refused


def test_curation_is_honoured(checkout, tmp_path):
    space = Workspace(checkout, "tiny")
    shutil.copytree(make_source(tmp_path / "source", 2), space.raw)
    space.curation.write_text(
        "image,group,exclude,reason\n"
        "benign/benign (0).png,patient 1,,\n"
        "normal/normal (1).png,patient 1,,\n"
        "benign/benign (1).png,,true,blurred\n"
    )
    run(checkout, "pipelines", "ingest")
    records = {record.image: record for record in read_rows(space.manifest, ImageRecord)}
    assert records["normal/normal (1).png"].group == "benign/benign (0).png"
    assert records["benign/benign (1).png"].excluded == "blurred"
    space.curation.write_text("image,group,exclude,reason\nbenign/x.png,,,\n")
    assert "'benign/x.png' is no image" in run(checkout, "pipelines", "ingest", status=4)


def test_the_split_waits_for_validation(checkout, tmp_path):
    space = Workspace(checkout, "tiny")
    shutil.copytree(make_source(tmp_path / "source", 3), space.raw)
    space.curation.write_text("image,group,exclude,reason\n")
    run(checkout, "pipelines", "ingest")
    assert "validation.json is missing" in run(checkout, "pipelines", "split", status=4)
    validated(checkout)
    report = json.loads(space.validation.read_text())
    space.validation.write_text(json.dumps(report | {"passed": False}))
    assert "did not pass validation" in run(checkout, "pipelines", "split", status=4)
    assert not space.split_csv.exists()


@pytest.mark.parametrize("name", ["Bad Name", "../evil", "-x"])
def test_a_bad_name_is_refused(checkout, tmp_path, name):
    source = make_source(tmp_path / "source", 1)
    said = run(checkout, "pipelines", "import", "--", name, str(source), status=2)
    assert "can't name a data set" in said


def test_a_generated_data_set_is_not_imported_over(checkout, tmp_path):
    generated = checkout / "data/phantom/dvc.yaml"
    generated.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "data/phantom/dvc.yaml", generated)
    source = make_source(tmp_path / "source", 1)
    said = run(checkout, "pipelines", "import", "phantom", str(source), status=2)
    assert "is generated" in said


def test_outside_dvc_the_images_stay_and_it_says_what_to_type(checkout, tmp_path):
    source = make_source(tmp_path / "source", 1)
    said = run(checkout, "pipelines", "import", "tiny", str(source), status=2)
    assert said.count("\n") == 1
    assert "not inside of a DVC repository" in said
    assert "dvc add data/tiny/raw" in said
    assert (checkout / "data/tiny/raw/benign/benign (0).png").is_file()


@pytest.mark.slow
@pytest.mark.long
def test_bus_bra_comes_by_url_and_no_case_is_parted(repository, tmp_path):
    source = zipped(tmp_path / "BUSBRA.zip", bus_bra(cases=12, side=70))
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    wrong = run(
        repository, "pipelines", "import", "tiny", source.as_uri(), "--sha256", "0" * 64, status=4
    )
    assert f"has the sha256 {sha256}" in wrong
    assert not (repository / "data/tiny").exists()
    said = run(repository, "pipelines", "import", "tiny", source.as_uri(), "--sha256", sha256)
    assert "benign: 12 images\nmalignant: 12 images\n24 masks" in said
    assert "12 patients" in said
    assert "Next: hgmnet init tiny" in said

    shutil.copytree(REPOSITORY / "profiles", repository / "profiles")
    shutil.copy(REPOSITORY / "pccp.yaml", repository)
    run(repository, "pipelines", "init", "tiny", "--profile", "quickstart", "--force")
    run(repository, "dvc", "repro", "-q", "split")
    space = Workspace(repository, "tiny")
    records = {record.name: record for record in read_rows(space.manifest, ImageRecord)}
    sides: dict[str, set[str]] = {}
    for row in read_rows(space.split_csv, SplitRow):
        assert records[row.name].patient == str(int(row.name[4:8]))
        sides.setdefault(records[row.name].patient, set()).add(row.status)
    assert len(sides) == 12
    assert all(len(side) == 1 for side in sides.values())
    assert set.union(*sides.values()) == {"train", "val", "test"}
    pairs = (repository / "data/tiny/pairs.csv").read_text()
    assert pairs.count(",scene,0,0.0,patient") == 12


def test_images_without_masks_come_and_it_says_so(repository, tmp_path):
    files = {"benign/a.png": encoded(), "malignant/b.png": encoded(), "normal/c.png": encoded()}
    source = folder(tmp_path / "s", files)
    said = run(repository, "pipelines", "import", "tiny", str(source))
    assert "there are no masks: validation will ask for them" in said


def test_a_format_that_the_source_has_not(checkout, tmp_path):
    source = make_source(tmp_path / "source", 1)
    said = run(
        checkout, "pipelines", "import", "tiny", str(source), "--format", "bus-bra", status=4
    )
    assert "bus_data.csv with the columns ID, Case, Pathology" in said
    said = run(checkout, "pipelines", "import", "tiny", str(source), "--sha256", "xyz", status=2)
    assert "expected 64 hexadecimal digits" in said
