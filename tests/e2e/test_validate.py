"""The validate stage on a manifest: what it writes, what it says, and its exit status."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config import Data, Validate
from hgmnet.data.duplicates import Pair
from hgmnet.data.manifest import Record
from hgmnet.errors import InvalidDataError
from pipelines.artifacts import ValidationReport, Workspace, read_json, write_rows
from pipelines.stages import validate

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Data(name="phantom", classes=("benign", "malignant", "normal"))


def records(**bad):
    """Twelve good images a class and, if anything is `bad`, fifteen benign ones with that."""
    good = [f"{label}/{number:02}.png" for label in DATA.classes for number in range(12)]
    odd = [f"benign/odd{number:02}.png" for number in range(15 if bad else 0)]
    return [_record(image) for image in good] + [_record(image, **bad) for image in odd]


def _record(image, **changes):
    label = image.split("/")[0]
    facts = {
        "image": image,
        "label": label,
        "masks": (image.replace(".png", "_mask.png"),),
        "width": 100,
        "height": 80,
        "mode": "RGB",
        "pixel_sha256": image,
        "mask_pixels": 0 if label == "normal" else 50,
        "masks_match": True,
        "masks_binary": True,
        "intensity_mean": 90.0,
        "intensity_std": 40.0,
        "patient": "",
        "pixel_mm": 0.0,
        "group": image,
        "excluded": "",
        "error": "",
    }
    return Record(**{**facts, **changes})


@pytest.fixture
def workspace(tmp_path):
    space = Workspace(tmp_path, DATA.name)
    write_rows(space.pairs, Pair, [])
    return space


def judge(workspace, rows):
    write_rows(workspace.manifest, Record, rows)
    validate.run(workspace.root, DATA, Validate(min_side=64, min_per_class=10))


def test_good_images_pass_without_network(workspace, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("validation reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    judge(workspace, records())
    report = read_json(workspace.validation, ValidationReport)
    assert report.passed
    assert report.failures == ()
    assert (report.images, report.per_class) == (36, dict.fromkeys(DATA.classes, 12))
    assert report.expectations == 15
    assert capsys.readouterr().out == "36 images, 15 expectations, nothing critical broken\n"


def test_a_breach_names_ten_files_and_counts_the_rest(workspace):
    with pytest.raises(InvalidDataError) as caught:
        judge(workspace, records(mask_pixels=0))
    files = [f"benign/odd{number:02}.png" for number in range(15)]
    assert str(caught.value) == (
        "every mask of a lesion class shows a lesion: not so for "
        f"{', '.join(files[:10])} and 5 more; mend the files, or exclude them in curation.csv"
    )
    report = read_json(workspace.validation, ValidationReport)
    assert not report.passed
    (failure,) = report.failures
    assert failure.severity == "critical"
    assert list(failure.files) == files


def test_the_message_carries_what_could_not_be_read(workspace):
    rows = records()
    rows[0] = rows[0].model_copy(update={"error": f"{rows[0].image} can't be decoded:\ncut off"})
    with pytest.raises(InvalidDataError, match=r"benign/00.png \(can't be decoded: cut off\);"):
        judge(workspace, rows)


def test_too_few_images_say_how_many(workspace):
    rows = [r for r in records() if r.image not in {f"normal/{n:02}.png" for n in range(3)}]
    with pytest.raises(InvalidDataError, match=r"class normal has at least 10 .*: found 9; add"):
        judge(workspace, rows)


def test_every_critical_breach_has_a_line_of_its_own(workspace):
    with pytest.raises(InvalidDataError) as caught:
        judge(workspace, records(width=20, masks_binary=False))
    side, binary = str(caught.value).splitlines()
    assert side.startswith("the shorter side is at least 64 px: not so for benign/odd00.png (20)")
    assert binary.startswith("every mask holds only black and white")


def test_a_warning_is_told_and_does_not_end_the_run(workspace, capsys):
    judge(workspace, records(intensity_std=0.5))
    report = read_json(workspace.validation, ValidationReport)
    assert report.passed
    assert [failure.severity for failure in report.failures] == ["warning"]
    assert capsys.readouterr().out.startswith("warning: no image is next to blank: not so for")


def test_the_same_manifest_gives_the_same_bytes(workspace):
    rows = records(intensity_std=0.5)
    judge(workspace, rows)
    first = workspace.validation.read_bytes()
    judge(workspace, rows[::-1])
    assert workspace.validation.read_bytes() == first


def test_the_pages_can_be_read_and_hold_only_the_last_run(workspace):
    judge(workspace, records())
    with pytest.raises(InvalidDataError):
        judge(workspace, records(mask_pixels=0))
    assert (workspace.data_docs / "index.html").is_file()
    (page,) = (workspace.data_docs / "validations").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "every mask of a lesion class shows a lesion" in text
    assert "benign/odd09.png" in text


@pytest.mark.slow
def test_the_command_ends_with_status_4_and_one_line(workspace):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, workspace.root)
    write_rows(workspace.manifest, Record, records(masks_match=False))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "validate"],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("hgmnet: InvalidData: every mask has its image's size: not so for")
    assert not read_json(workspace.validation, ValidationReport).passed
