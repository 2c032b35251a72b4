"""`hgmnet predict`: every file a row, the good ones with pictures, the exit status for the rest."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hgmnet.data.images import decode_grey
from hgmnet.errors import ConfigError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.prediction.files import find_files, overlay, predict_files
from tests.source_files import dicom_file
from tests.tiny_repository import make_repository

pytestmark = pytest.mark.slow
MODEL = {"model": "made up", "model_sha256": "0"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def predictor(workspace):
    return TorchPredictor.load(workspace.model)


def read(out):
    with (out / "predictions.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert len(set(reader.fieldnames)) == len(reader.fieldnames)
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == [line["file"] for line in lines]
    return rows, lines


def test_a_row_and_two_pictures_an_image(workspace, predictor, tmp_path):
    files = find_files([str(workspace.raw)]).images
    assert len(files) == 6
    assert predict_files(files, predictor, MODEL, tmp_path).failed == 0
    rows, lines = read(tmp_path)
    findings = predictor.predict([decode_grey(file.read_bytes(), "") for file in files])
    for file, row, line, finding in zip(files, rows, lines, findings, strict=True):
        with Image.open(tmp_path / f"{file.stem}_mask.png") as png:
            np.testing.assert_array_equal(np.asarray(png) > 0, finding.mask)
        with Image.open(tmp_path / f"{file.stem}_overlay.png") as png:
            assert png.size == finding.mask.shape[::-1]
        assert row["decision"] == finding.decision
        assert int(row["lesion_area_px"]) == line["lesion_area_px"] == finding.mask.sum()
        assert float(row["prob_benign"]) == pytest.approx(finding.probs["benign"], abs=1e-6)
        assert (row["model"], row["error"]) == ("made up", "")
        assert float(row["malignant_threshold"]) == predictor.operating.malignant_threshold
        assert row["lesion_area_mm2"] == ""
        assert (row["refer"], line["refer"]) == (str(finding.refer).lower(), finding.refer)


def test_dicom_is_read_and_its_spacing_gives_an_area(workspace, predictor, tmp_path):
    png = find_files([str(workspace.raw)]).images[0]
    grey = decode_grey(png.read_bytes(), "")
    (tmp_path / "scan.dcm").write_bytes(dicom_file(grey, PixelSpacing=[0.2, 0.2]))
    predict_files([png, tmp_path / "scan.dcm"], predictor, MODEL, tmp_path / "out")
    (plain, scan), _ = read(tmp_path / "out")
    assert scan["prob_malignant"] == plain["prob_malignant"]
    assert float(scan["lesion_area_mm2"]) == pytest.approx(0.04 * int(scan["lesion_area_px"]))


def test_a_bad_file_is_a_row_and_the_rest_go_on(workspace, predictor, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    good = find_files([str(workspace.raw)]).images[:2]
    summary = predict_files([good[0], tmp_path / "a.png", good[1]], predictor, MODEL, tmp_path)
    assert (summary.predicted, summary.failed) == (2, 1)
    rows, lines = read(tmp_path)
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert "a.png can't be decoded" in lines[1]["error"]
    assert rows[1]["decision"] == ""


def test_files_of_one_name_do_not_overwrite_one_another(workspace, predictor, tmp_path):
    png = find_files([str(workspace.raw)]).images[0]
    other = tmp_path / png.name
    other.write_bytes(png.read_bytes())
    predict_files([png, other], predictor, MODEL, tmp_path / "out")
    made = {file.name for file in (tmp_path / "out").glob("*.png")}
    stem = png.stem
    assert made == {f"{stem}{n}_{kind}.png" for n in ("", "~2") for kind in ("mask", "overlay")}


def test_which_files_a_word_means(tmp_path):
    for name in ("a.png", "a_mask.png", "b/c.JPG", "b/d.dcm", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def named(*words):
        return [str(file.relative_to(tmp_path)) for file in find_files(words).images]

    assert named(str(tmp_path)) == ["a.png", "b/c.JPG", "b/d.dcm"]
    assert named(f"{tmp_path}/*.png") == ["a.png"]
    assert named(f"{tmp_path}/b/notes.txt", f"{tmp_path}/a.png") == ["b/notes.txt", "a.png"]
    with pytest.raises(ConfigError, match="expected an image"):
        find_files([f"{tmp_path}/nothing*.png"])


def test_the_overlay_shows_the_border_and_leaves_the_rest(tmp_path):
    grey = np.full((40, 50), 90, np.uint8)
    mask = np.zeros(grey.shape, bool)
    mask[10:20, 10:30] = True
    rgb = np.asarray(overlay(grey, mask))
    coloured = (rgb != 90).any(axis=2)
    assert coloured[10, 10:30].all()
    assert not coloured[11:19, 11:29].any()
    assert not coloured[~mask].any()


def test_the_command_says_by_its_status_that_a_file_was_bad(workspace, tmp_path):
    (workspace.root / "dvc.yaml").touch()
    (tmp_path / "bad.png").write_bytes(b"no image")
    words = [str(workspace.raw), str(tmp_path / "bad.png"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "predict", *words, "--model", "models/hgmnet"],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "6 images predicted by models/hgmnet" in done.stdout
    assert done.stderr.endswith("1 of 7 files could not be read: see predictions.csv\n")
