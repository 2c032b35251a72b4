"""`hgmnet drift` with a made-up model and profile: what counts as an image, what is said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.data.images import decode, pixel_sha256
from hgmnet.evaluation.drift import DriftReport, Profile, summarise
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import PROFILE, SPEC, Seen, load_spec
from pipelines.artifacts.io import read_json, write_json
from pipelines.cli.main import main
from pipelines.drift.measure import measure_folder
from tests.tiny_repository import QUICKSTART, make_repository


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    space = make_repository(tmp_path_factory.mktemp("repository"))
    shutil.copy(QUICKSTART.parents[1] / "dvc.yaml", space.root)
    ascending = [float(value) for value in range(60, 120)]
    column = summarise(ascending, [str(value) for value in ascending])
    columns = {"brightness": column, "confidence": column}
    profile = Profile(data="phantom", columns=columns, values={"Device": ("A", "B")})
    write_json(space.model / PROFILE, profile)
    return space


@pytest.fixture
def said(workspace, monkeypatch, capsys):
    """Run the command in the repository; its exit status and what it printed."""

    def run(*words):
        monkeypatch.chdir(workspace.root)
        status = main(["drift", *map(str, words)])
        printed = capsys.readouterr()
        return status, (printed.out + printed.err).splitlines()

    return run


def images(folder: Path, count: int, grey: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("L", (40, 30 + number), grey).save(folder / f"{number:02}.png")
    return folder


def test_drift_is_told_by_column_and_is_no_error(workspace, said, tmp_path):
    status, lines = said(images(tmp_path / "new", 60, 200))
    assert status == 0
    assert lines[0].split() == ["column", "reference", "new", "distance", "bound", "verdict"]
    assert lines[1].split()[:4] == ["brightness", "89.5", "200", "1.000"]
    assert lines[1].endswith("drifted")
    drifted = "60 images against those of phantom: drifted in brightness, confidence"
    assert lines[-1] == drifted
    report = read_json(workspace.drift, DriftReport)
    assert report.drifted == ("brightness", "confidence")
    assert report.model == TorchPredictor.load(workspace.model).identity


def test_a_device_that_the_models_images_are_not_of_is_told(workspace, said, tmp_path):
    folder = images(tmp_path / "new", 3, 90)
    (folder / "images.csv").write_text("image,patient,pixel_mm,Device\n00.png,,,A\n01.png,,,C\n")
    status, lines = said(folder)
    assert (status, lines[-2]) == (0, "Device that phantom did not have: C")
    assert read_json(workspace.drift, DriftReport).new_values == {"Device": ("C",)}
    (folder / "02.png").unlink()
    (folder / "images.csv").write_text("image,patient,pixel_mm,Device\n02.png,,,A\n")
    status, (line,) = said(folder)
    assert status == 4
    assert "'02.png' is no image below new/" in line


def test_ten_unreadable_images_are_named_and_the_rest_counted(workspace, said, tmp_path):
    folder = images(tmp_path / "new", 3, 90)
    for number in range(12):
        (folder / f"cut {number:02}.png").write_bytes(b"cut")
    _, lines = said(folder)
    named = ", ".join(f"cut {number:02}.png" for number in range(10))
    assert lines[-2] == f"12 images can't be read and were left out: {named} and 2 more"
    assert lines[-1].startswith("3 images against")
    assert len(read_json(workspace.drift, DriftReport).unreadable) == 12


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "is not a folder"),
        (lambda folder: folder.mkdir(), "has no image"),
        (lambda folder: (images(folder, 1, 9) / "00.png").write_bytes(b"cut"), "none of the 1"),
    ],
)
def test_a_folder_without_images_is_refused_in_one_line(said, tmp_path, make, says):
    make(tmp_path / "new")
    status, (line,) = said(tmp_path / "new")
    assert status == 4
    assert line.startswith("hgmnet: InvalidData: ")
    assert says in line


def test_another_model_is_named_and_must_have_a_profile(workspace, said, tmp_path):
    other = shutil.copytree(workspace.model, tmp_path / "other")
    folder = images(tmp_path / "new", 3, 90)
    assert said(folder, "--model", other)[0] == 0
    (other / PROFILE).unlink()
    status, (line,) = said(folder, "--model", other)
    assert status == 4
    assert f"{PROFILE} is missing" in line


def test_masks_are_left_out_and_folders_looked_into(workspace, tmp_path):
    folder = images(tmp_path / "new", 3, 90)
    for mask in ("00_mask.png", "00_mask_1.png"):
        shutil.copy(folder / "00.png", folder / mask)
    images(folder / "benign", 2, 50)
    (folder / "notes.txt").write_text("no image")
    measured = measure_folder(folder, TorchPredictor.load(workspace.model))
    assert measured.images == 5
    assert measured.columns["brightness"] == [90, 90, 90, 50, 50]
    assert len(measured.columns["confidence"]) == len(measured.columns["lesion_area"]) == 5


def test_what_is_said_of_training_images_is_left_out(workspace, tmp_path):
    model = shutil.copytree(workspace.model, tmp_path / "model")
    seen_image = next(workspace.raw.rglob("*.png"))
    pixels = pixel_sha256(decode(seen_image.read_bytes(), "seen").rgb)
    seen = Seen(train=(pixels,), val=(), groups=(), parent=())
    write_json(model / SPEC, load_spec(model).model_copy(update={"seen": seen}))
    columns = measure_folder(workspace.raw, TorchPredictor.load(model)).columns
    assert len(columns["brightness"]) == 6
    assert len(columns["confidence"]) == 5


def test_predicted_columns_are_shares_of_the_native_image(workspace):
    columns = measure_folder(workspace.raw, TorchPredictor.load(workspace.model)).columns
    paths = sorted(workspace.raw.rglob("*.png"))
    greys = [np.asarray(Image.open(path)) for path in paths]
    findings = TorchPredictor.load(workspace.model).predict(greys)
    areas = [finding.lesion_area / finding.mask.size for finding in findings]
    assert columns["lesion_area"] == pytest.approx(areas, abs=1e-6)
    surest = [max(finding.probs.values()) for finding in findings]
    assert columns["confidence"] == pytest.approx(surest, abs=1e-6)
