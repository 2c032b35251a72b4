"""`hgmnet predict --dicom-seg`: read by highdicom, pydicom and dciodvfy, pixel for pixel."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UltrasoundMultiFrameImageStorage

from hgmnet.data.images import decode_grey
from hgmnet.data.resize import resize_to_input, resize_to_original
from hgmnet.inference.predictor import TorchPredictor
from tests.run_here import run_here
from tests.source_files import dicom_file
from tests.tiny_repository import make_repository

pytestmark = pytest.mark.slow
highdicom = pytest.importorskip("highdicom")
TEXT = {
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.5",
    "PatientName": "Müller^Eva",
    "PatientID": "p-1",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyDate": "20250102",
    "StudyTime": "101112",
    "StudyID": "7",
    "AccessionNumber": "a-9",
    "SpecificCharacterSet": "ISO_IR 192",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    space = make_repository(tmp_path_factory.mktemp("repository"))
    (space.root / "dvc.yaml").touch()
    return space


@pytest.fixture(scope="module")
def greys(workspace):
    return [decode_grey(path.read_bytes(), "i") for path in sorted(workspace.raw.rglob("*.png"))]


def predict(workspace, source: Path, out: Path):
    words = ["--model", "models/hgmnet", "--backend", "torch", "--out", str(out / "found")]
    return run_here(workspace.root, "predict", str(source), *words, "--dicom-seg", str(out / "seg"))


@pytest.fixture(scope="module")
def written(workspace, greys, tmp_path_factory) -> tuple[Path, bytes]:
    """The folder of the segmentations of scan.dcm, and that file."""
    out = tmp_path_factory.mktemp("out")
    data = dicom_file(greys[0], **TEXT, PixelSpacing=[0.2, 0.2])
    (out / "scan.dcm").write_bytes(data)
    ended = predict(workspace, out / "scan.dcm", out)
    assert ended.status == 0, ended.output
    return out / "seg", data


def test_mask_and_probability_are_the_models(written, workspace, greys):
    predictor = TorchPredictor.load(workspace.model)
    mask = predictor.predict([greys[0]])[0].mask
    square = resize_to_input(greys[0], predictor.spec.prepare)[None]
    raw = predictor.predict_raw(square).mask_prob[0]
    probability = resize_to_original(raw, *greys[0].shape, predictor.spec.prepare)
    assert mask.mean() > 0
    for name, expected, slack in (("mask", mask, 0), ("probability", probability, 1 / 255)):
        read = highdicom.seg.segread(written[0] / f"scan_{name}.dcm")
        found = read.get_pixels_by_source_instance(["1.2.3"])[0, ..., 0]
        np.testing.assert_allclose(found, expected.astype(float), atol=slack)


def test_patient_study_and_model_are_named(written, workspace):
    sha256 = TorchPredictor.load(workspace.model).identity
    files = [pydicom.dcmread(written[0] / f"scan_{name}.dcm") for name in ("mask", "probability")]
    assert {file.SegmentationType for file in files} == {"BINARY", "FRACTIONAL"}
    assert len({file.SOPInstanceUID for file in files}) == 2
    assert len({file.SeriesInstanceUID for file in files} | {TEXT["SeriesInstanceUID"]}) == 2
    for file in files:
        kept = {word: str(file[word].value) for word in TEXT if word != "SeriesInstanceUID"}
        assert kept.items() <= TEXT.items()
        source = file.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
        assert source.ReferencedSOPInstanceUID == "1.2.3"
        (algorithm,) = file.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("HGM-Net", sha256[:16])
        assert algorithm.AlgorithmParameters == f"sha256={sha256}"
        assert str(workspace.root) not in str(file)


def test_a_registered_model_is_named_by_name_and_version(tmp_path):
    from hgmnet.prediction.dicom_seg import Segmentations

    made = Segmentations.to(tmp_path, [], "hgmnet-phantom version 3", "ab" * 32)
    assert (made.model, made.version) == ("hgmnet-phantom", "3")


def test_the_standards_checker_finds_no_error(written):
    if not shutil.which("dciodvfy"):
        pytest.skip("needs dciodvfy, of Debian's dicom3tools")
    for file in sorted(written[0].glob("*.dcm")):
        done = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr


def test_the_same_image_makes_the_same_instances_again(written, workspace, tmp_path):
    (tmp_path / "scan.dcm").write_bytes(written[1])
    assert predict(workspace, tmp_path / "scan.dcm", tmp_path).status == 0
    assert predict(workspace, tmp_path / "scan.dcm", tmp_path).status == 0  # replaces its own
    old, new = (
        pydicom.dcmread(folder / "scan_mask.dcm") for folder in (written[0], tmp_path / "seg")
    )
    assert (old.SOPInstanceUID, old.PixelData) == (new.SOPInstanceUID, new.PixelData)


def test_files_of_others_stay(workspace, written, tmp_path):
    (tmp_path / "scan.dcm").write_bytes(written[1])
    (tmp_path / "seg").mkdir()
    (tmp_path / "seg" / "scan_mask.dcm").write_bytes(b"mine")
    ended = predict(workspace, tmp_path / "scan.dcm", tmp_path)
    assert ended.status == 2
    assert "is no earlier prediction" in ended.err
    assert (tmp_path / "seg" / "scan_mask.dcm").read_bytes() == b"mine"


def test_an_empty_mask_is_written(written, greys, tmp_path):
    from hgmnet.prediction.dicom_seg import Segmentations

    header = pydicom.dcmread(written[0].parent / "scan.dcm")
    header.PatientOrientation = ""
    empty = np.zeros(greys[0].shape, bool)
    made = Segmentations(tmp_path, "m", "1", "ab" * 32)
    made.write("x", header, empty, empty.astype(np.float32))
    assert not highdicom.seg.segread(tmp_path / "x_mask.dcm").pixel_array.any()


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        (
            {"NumberOfFrames": 2, "SOPClassUID": UltrasoundMultiFrameImageStorage, "double": True},
            "has 2 frames without a position in space",
        ),
        ({"StudyInstanceUID": ""}, "has no StudyInstanceUID"),
    ],
)
def test_what_can_not_be_written_is_a_row(workspace, greys, tmp_path, elements, problem):
    pixels = np.concatenate([greys[0]] * 2) if elements.pop("double", False) else greys[0]
    data = dicom_file(pixels, **(TEXT | {"Rows": len(greys[0])} | elements))
    (tmp_path / "scan.dcm").write_bytes(data)
    ended = predict(workspace, tmp_path / "scan.dcm", tmp_path)
    assert ended.status == 4, ended.output
    (row,) = map(json.loads, (tmp_path / "found" / "predictions.jsonl").read_text().splitlines())
    assert problem in row["error"]
    assert not list((tmp_path / "seg").glob("*.dcm"))


def test_other_images_are_refused_at_once(workspace, tmp_path):
    ended = predict(workspace, workspace.raw, tmp_path)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "6 files are not DICOM, such as" in ended.err
    assert not (tmp_path / "found").exists()


def test_a_package_that_is_missing_is_named(workspace, written, tmp_path, monkeypatch):
    import hgmnet.prediction.dicom_seg as module

    monkeypatch.setattr(module, "find_spec", lambda _: None)
    ended = predict(workspace, written[0].parent / "scan.dcm", tmp_path)
    assert ended.err == (
        "hgmnet: Config: --dicom-seg needs highdicom: pip install 'hgmnet[dicom]'\n"
    )
