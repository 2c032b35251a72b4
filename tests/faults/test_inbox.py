"""Files that users put in folders, and that are passed over, overwritten or stop the others."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hgmnet.config.data import Data
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.importing import importer
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.prediction import files
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.prediction.batch import Job, asked_for, join, left, predict_part
from pipelines.stages import ingest, split, validate
from tests.run_here import Ended, must_run, run_here
from tests.source_files import as_csv, dicom_file, encoded, folder
from tests.tiny_repository import QUICKSTART, make_repository

pytestmark = pytest.mark.slow
CLASSES = ("benign", "malignant", "normal")
BARE = "1.2.840.113619.2.55.3"
"""A DICOM file's name as archives give it, without a suffix."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository with a model in models/hgmnet."""
    space = make_repository(tmp_path_factory.mktemp("repository"))
    (space.root / "dvc.yaml").touch()
    return space


def test_patients_of_a_de_identified_export_are_split(tmp_path: Path) -> None:
    refusal, sides = imported_and_split(tmp_path, lambda number: f"anonymous{number}")
    assert not refusal
    assert min(sides[side] for side in ("train", "val", "test")) > 0


def test_one_placeholder_for_all_patients_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal, sides = imported_and_split(tmp_path, lambda _: "REDACTED")
    assert "REDACTED: 36 of 36 images" in capsys.readouterr().out
    assert "at least 3 groups" in refusal
    assert not sides
    assert not list(tmp_path.rglob("split.*"))


def test_a_patient_that_leaves_nothing_for_val_is_refused_before_anything_is_locked(
    tmp_path: Path,
) -> None:
    names = {34: "berta", 35: "carla"}
    refusal, sides = imported_and_split(tmp_path, lambda number: names.get(number, "anna"))
    assert re.search(r"val.* would be empty: 34 of 36 images are one group, .*'anna'", refusal)
    assert not sides
    assert not list(tmp_path.rglob("split.*"))


@pytest.fixture(scope="module")
def inbox(workspace: Workspace) -> tuple[Path, Ended]:
    """Predictions of three images: of a plain name, with _mask in it, and without a suffix."""
    files = {f"{name}.png": scan(name) for name in ("scan1", "id_masked_scan2")}
    folder(workspace.root / "inbox", files | {BARE: dicom_file(greys(3))})
    return predicted(workspace, workspace.root / "inbox", workspace.root / "out")


def test_an_image_of_a_plain_name_is_predicted(inbox: tuple[Path, Ended]) -> None:
    out, ended = inbox
    assert ended.status == 0
    assert "scan1.png" in answered(out)


def test_an_image_with_mask_within_its_name_is_predicted(inbox: tuple[Path, Ended]) -> None:
    assert "id_masked_scan2.png" in answered(inbox[0])


def test_dicom_without_a_suffix_is_predicted_or_named(inbox: tuple[Path, Ended]) -> None:
    out, ended = inbox
    assert BARE in answered(out) or BARE in ended.output


def test_what_is_passed_over_is_named_and_listed_by_every_reader(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = ("1.png", "1_mask.png", "lone_mask.png")
    inbox = folder(tmp_path / "inbox", {name: scan(name) for name in names})
    folder(inbox, {"notes.txt": b"x", ".DS_Store": b"x"})
    out, ended = predicted(workspace, inbox, tmp_path / "out")
    first = "4 files passed over: "
    assert first in ended.out
    with (out / "passed_over.csv").open() as file:
        listed = {Path(row["file"]).name: row["reason"] for row in csv.DictReader(file)}
    assert listed.keys() == {"1_mask.png", "lone_mask.png", "notes.txt", ".DS_Store"}
    assert dict(asked_for(inbox).passed_over).keys() == {str(inbox / name) for name in listed}
    ended = run_here(workspace.root, "drift", str(inbox))
    assert first in ended.out
    assert "1 images against" in ended.out
    named = json.loads((workspace.root / "reports/drift.json").read_text())["passed_over"]
    assert dict(named) == listed


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Images of several kinds, imported: where they lie, and the output."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(QUICKSTART.parents[1] / name, root)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    files = {
        "benign/1.png": scan(1),
        "benign/1_mask.png": encoded(255),
        "malignant/6.png": scan(6),
        "normal/2.jfif": scan(2, "JPEG"),
        "normal/3.webp": scan(3, "WEBP"),
        "normal/4.dcm": dicom_file(greys(4)),
        "normal/5.tif": scan(5, "TIFF"),
    }
    source = folder(root.with_name("source"), files)
    output = must_run(root, "import", "clinic", str(source)).output
    return Workspace(root, "clinic").raw, output


def test_the_images_of_known_kinds_are_imported(mixed: tuple[Path, str]) -> None:
    names = {file.relative_to(mixed[0]).as_posix() for file in mixed[0].rglob("*.png")}
    assert names >= {"benign/1.png", "benign/1_mask.png", "normal/5.png"}


@pytest.mark.parametrize("name", ["2.jfif", "3.webp", "4.dcm"])
def test_an_image_of_another_kind_is_imported_or_named(name: str, mixed: tuple[Path, str]) -> None:
    raw, output = mixed
    assert (raw / "normal" / name).with_suffix(".png").exists() or name in output


def test_all_of_nine_png_are_profiled(workspace: Workspace, tmp_path: Path) -> None:
    files = folder(tmp_path / "inbox", {f"{number}.png": scan(number) for number in range(9)})
    ended = run_here(workspace.root, "drift", str(files))
    assert ended.status == 0
    assert ended.output.splitlines()[-1].startswith("9 images")


def test_dicom_in_the_inbox_is_profiled_or_named(workspace: Workspace, tmp_path: Path) -> None:
    names = [f"IM{number}.dcm" for number in range(1, 9)]
    files = {name: dicom_file(greys(number)) for number, name in enumerate(names)}
    inbox = folder(tmp_path / "inbox", files | {"1.png": scan(9)})
    if len(asked_for(inbox).images) != 9:
        raise RuntimeError("batch_predict does not find all nine files")
    output = run_here(workspace.root, "drift", str(inbox)).output
    nine = any(line.startswith("9 images") for line in output.splitlines())
    assert nine or all(name in output for name in names)


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A folder of two images, the name of one in Latin-1."""
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1)})
    try:
        (inbox / os.fsdecode(b"M\xfcller.png")).write_bytes(scan(2))
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    return inbox


def test_names_in_utf_8_are_predicted(workspace: Workspace, tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1), "Müller.png": scan(2)})
    out, ended = predicted(workspace, inbox, tmp_path / "out")
    assert ended.status == 0
    assert answered(out) == {"a.png", "Müller.png"}
    assert answered_in_batch(workspace, inbox, tmp_path / "batch") == answered(out)


def test_a_name_in_latin_1_does_not_stop_predict(
    workspace: Workspace, latin: Path, tmp_path: Path
) -> None:
    out, ended = predicted(workspace, latin, tmp_path / "out")
    assert ended.status == 0
    assert answered(out) == {"a.png", r"M\xfcller.png"}


def test_a_name_in_latin_1_does_not_stop_a_batch(
    workspace: Workspace, latin: Path, tmp_path: Path
) -> None:
    names = answered_in_batch(workspace, latin, tmp_path / "batch")
    assert names == {"a.png", r"M\xfcller.png"}


def test_a_name_in_latin_1_that_is_no_image_ends_neither(
    workspace: Workspace, tmp_path: Path, latin: Path
) -> None:
    """The reason of its row names it too, and so does the report of drift."""
    (latin / os.fsdecode(b"M\xfcller.png")).write_bytes(b"no image")
    out, ended = predicted(workspace, latin, tmp_path / "out")
    assert (ended.status, answered(out)) == (4, {"a.png"})
    assert answered_in_batch(workspace, latin, tmp_path / "batch") == {"a.png"}
    report = run_here(workspace.root, "drift", str(latin))
    assert (report.status, r"M\xfcller.png" in report.out) == (0, True)


def test_a_name_in_latin_1_is_refused_in_a_data_set_by_a_line(tmp_path: Path, latin: Path) -> None:
    from hgmnet.data import manifest

    with pytest.raises(InvalidDataError, match=r"M\\xfcller.png is not UTF-8; rename"):
        manifest.build(latin)
    source = folder(tmp_path / "source", {"benign/a.png": scan(1)})
    (source / os.fsdecode(b"f\xfcr dich.txt")).touch()
    came = importer.lay_out(source, tmp_path / "data/clinic/raw")
    assert [one.file for one in came.left_out] == [r"f\xfcr dich.txt"]


def test_the_longest_name_is_predicted(workspace: Workspace, tmp_path: Path) -> None:
    longest = f"{'ü' * 125}s.png"
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1), longest: scan(2)})
    out, ended = predicted(workspace, inbox, tmp_path / "out")
    assert (ended.status, answered(out)) == (0, {"a.png", longest})
    assert answered_in_batch(workspace, inbox, tmp_path / "batch") == {"a.png", longest}


def test_a_row_that_names_no_possible_file_does_not_stop_a_batch(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [("a.png",), ("a\0.png",), ("x" * 5000,)]
    files = {"a.png": scan(1), "t.csv": as_csv(("image",), rows)}
    table = folder(tmp_path / "inbox", files) / "t.csv"
    assert answered_in_batch(workspace, table, tmp_path / "batch") == {"a.png"}


def test_an_image_replaced_by_one_of_the_same_size_and_time_is_predicted_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    one, other = scan(1), scan(2)
    image = folder(tmp_path / "inbox", {"a.png": one.ljust(len(other))}) / "a.png"
    before, areas = image.stat(), list[object]()
    for content in (one, other):
        image.write_bytes(content.ljust(before.st_size))
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
        job = answered_job(workspace, image.parent, tmp_path / "batch")
        areas.append(pd.read_parquet(job.out / "predictions.parquet")["prob_benign"].tolist())
    assert areas[0] != areas[1]


def test_a_table_without_a_row_is_refused_by_a_line(tmp_path: Path) -> None:
    table = folder(tmp_path, {"t.csv": as_csv(("image",), [])}) / "t.csv"
    with pytest.raises(ConfigError, match="names no image"):
        asked_for(table)


TRUTH = "malignant (1)_mask.png"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder with an image and its true mask."""
    truth = np.zeros((48, 64), np.uint8)
    truth[10:30, 20:40] = 255
    return folder(tmp_path / "mine", {"malignant (1).png": scan(1), TRUTH: png(truth)})


def test_predictions_in_a_folder_of_their_own_leave_true_masks(
    workspace: Workspace, labelled: Path, tmp_path: Path
) -> None:
    before = (labelled / TRUTH).read_bytes()
    out, ended = predicted(workspace, labelled, tmp_path / "out")
    assert ended.status == 0
    assert answered(out) == {"malignant (1).png"}
    assert (labelled / TRUTH).read_bytes() == before


def test_predictions_beside_the_images_leave_true_masks(
    workspace: Workspace, labelled: Path
) -> None:
    before = (labelled / TRUTH).read_bytes()
    predicted(workspace, labelled, labelled)
    assert (labelled / TRUTH).read_bytes() == before


def test_inputs_of_one_name_have_masks_of_their_own(workspace: Workspace, tmp_path: Path) -> None:
    """`a~2` is what the second `a` would be called, were it not an image's own name."""
    inbox = tmp_path / "inbox"
    for name in ("a.png", "b/a.png", "c/a~2.png"):
        folder((inbox / name).parent, {Path(name).name: scan(len(name))})
    out, ended = predicted(workspace, inbox, tmp_path / "out")
    assert ended.status == 0
    with (out / "predictions.csv").open() as file:
        masks = [row["mask"] for row in csv.DictReader(file)]
    assert len(set(masks)) == 3
    assert all((out / mask).is_file() for mask in masks)


def test_predictions_of_an_earlier_run_are_replaced(workspace: Workspace, tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1)})
    for _ in range(2):
        _, ended = predicted(workspace, inbox, tmp_path / "out")
        assert ended.status == 0


def test_an_overlay_of_someone_elses_is_left(workspace: Workspace, tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1)})
    out = folder(tmp_path / "out", {"a_overlay.png": b"theirs"})
    _, ended = predicted(workspace, inbox, out)
    assert ended.status == 2
    assert (out / "a_overlay.png").read_bytes() == b"theirs"


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.jsonl"])
def test_a_table_of_someone_elses_is_left(workspace: Workspace, tmp_path: Path, name: str) -> None:
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1)})
    out = folder(tmp_path / "out", {name: b"patient,mask\nM\xfcller,1\n"})
    before = (out / name).read_bytes()
    _, ended = predicted(workspace, inbox, out)
    assert ended.status == 2
    assert (out / name).read_bytes() == before


@pytest.mark.parametrize("name", ["predictions.parquet", "parts/mine.parquet"])
@pytest.mark.parametrize("content", ["table", "damaged"])
def test_a_batch_leaves_a_table_of_someone_elses(
    workspace: Workspace, tmp_path: Path, name: str, content: str
) -> None:
    """All files in parts/ are joined, then deleted."""
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1)})
    theirs = folder(tmp_path / "out", {name: b"damaged"}) / name
    if content == "table":
        pd.DataFrame({"image": ["a.png"], "age": [60]}).to_parquet(theirs)
    before = theirs.read_bytes()
    with pytest.raises(ConfigError, match="is no earlier prediction"):
        answered_in_batch(workspace, inbox, tmp_path / "out")
    assert theirs.read_bytes() == before


def test_a_killed_prediction_can_be_repeated(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = folder(tmp_path / "inbox", {"a.png": scan(1), "b.png": scan(2)})
    draw, drawn = files.overlay, list[object]()

    def killed(*words: Any) -> Image.Image:
        drawn.append(words)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(*words)

    monkeypatch.setattr(files, "overlay", killed)
    assert predicted(workspace, inbox, tmp_path / "out")[1].status == 130
    monkeypatch.undo()
    out, ended = predicted(workspace, inbox, tmp_path / "out")
    assert (ended.status, answered(out)) == (0, {"a.png", "b.png"})


def test_an_export_leaves_a_script_of_someone_elses(tmp_path: Path) -> None:
    from hgmnet.cli.model import finish_export

    mine = folder(tmp_path, {"read_onnx.py": b"print('mine')\n", "net.onnx": b"x"})
    for _ in range(2):
        finish_export(mine / "net.onnx", "made up")
    assert (mine / "read_onnx.py").read_bytes() == b"print('mine')\n"
    assert "onnxruntime" in (mine / "read_net.py").read_text()


def imported_and_split(top: Path, patient: Callable[[int], str]) -> tuple[str, Counter[str]]:
    """A table of 36 DICOM images through import and the stages up to split.

    Returns:
        Why a step refused them (empty if none did), and how many images each side has.
    """
    params = load_params(QUICKSTART)
    data = Data(name="clinic", classes=CLASSES)
    space = Workspace(top / "repository", data.name)
    source = folder(top / "export", export(patient))
    try:
        importer.lay_out(source / "t.csv", space.raw)
        space.curation.write_text("image,group,exclude,reason\n")
        ingest.run(space.root, data)
        validate.run(space.root, data, params.validate_)
        split.run(space.root, data, params.split)
    except HgmnetError as error:
        return str(error), Counter()
    return "", Counter(row.status for row in read_rows(space.split_csv, SplitRow))


def export(patient: Callable[[int], str]) -> dict[str, bytes]:
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 30:60] = 255
    files, rows = {"m.png": png(mask)}, []
    for number in range(36):
        label = CLASSES[number % 3]
        pixels = greys(number, (64, 80))
        files[f"{number}.dcm"] = dicom_file(pixels, PatientID=patient(number))
        rows.append((f"{number}.dcm", label, "" if label == "normal" else "m.png"))
    return files | {"t.csv": as_csv(("image", "label", "mask"), rows)}


def predicted(workspace: Workspace, inbox: Path, out: Path) -> tuple[Path, Ended]:
    """Run `hgmnet predict`; where it wrote, and how it ended."""
    words = ("predict", str(inbox), "--out", str(out), "--model", "models/hgmnet")
    return out, run_here(workspace.root, *words)


def answered(out: Path) -> set[str]:
    """Names of the files that predictions.csv has an answer for; none without one."""
    if not (out / "predictions.csv").exists():
        return set()
    with (out / "predictions.csv").open(encoding="utf-8", errors="replace") as file:
        return {Path(row["file"]).name for row in csv.DictReader(file) if not row["error"]}


def answered_in_batch(workspace: Workspace, inbox: Path, out: Path) -> set[str]:
    """Names of the images that a batch has an answer for."""
    job = answered_job(workspace, inbox, out)
    rows = pd.read_parquet(job.out / "predictions.parquet")
    return set(rows["image"][rows["error"].isna()])


def answered_job(workspace: Workspace, inbox: Path, out: Path) -> Job:
    """A batch that has ended."""
    sha256 = TorchPredictor.load(workspace.model).identity
    job = Job(workspace.exports, workspace.model, sha256, "torch", ("made up", "torch"), out)
    asked = asked_for(inbox).images
    predict_part(job, left(job, asked))
    join(job, asked)
    return job


def scan(seed: int | str, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(greys(seed)).save(data, kind)
    return data.getvalue()


def greys(seed: int | str, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A made-up scan, another one for each seed."""
    known = [ord(letter) for letter in str(seed)]
    small = np.random.default_rng(known).integers(20, 200, (12, 16), np.uint8)
    image = Image.fromarray(small).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
