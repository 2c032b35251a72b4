"""The validate stage on a manifest: what it writes, what it says, and its exit status."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hgmnet.config import Data, load_params
from hgmnet.data.duplicates import Pair
from hgmnet.data.record import Record
from hgmnet.errors import InvalidDataError
from pipelines.artifacts import ValidationReport
from pipelines.files import read_json, write_rows
from pipelines.stages import validate
from pipelines.workspace import Workspace
from tests.records import record

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Data(name="phantom", classes=("benign", "malignant", "normal"))
BOUNDS = load_params(REPOSITORY / "params.yaml").validate_


EMPTY = {"mask_pixels": 0, "mask_parts": 0, "mask_smallest": 0}


def records(**bad):
    """Twelve good images a class and, if anything is `bad`, fifteen benign ones with that."""
    good = [f"{label}/{number:02}.png" for label in DATA.classes for number in range(12)]
    odd = [f"benign/odd{number:02}.png" for number in range(15 if bad else 0)]
    return [record(image) for image in good] + [record(image, **bad) for image in odd]


@pytest.fixture
def workspace(tmp_path):
    space = Workspace(tmp_path, DATA.name)
    write_rows(space.pairs, Pair, [])
    return space


def judge(workspace, rows):
    write_rows(workspace.manifest, Record, rows)
    validate.run(workspace.root, DATA, BOUNDS)


def test_good_images_pass_without_network(workspace, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("validation reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    judge(workspace, records())
    report = read_json(workspace.validation, ValidationReport)
    assert report.passed
    assert (report.failures, report.conflicts) == ((), ())
    assert (report.images, report.per_class) == (36, dict.fromkeys(DATA.classes, 12))
    assert report.expectations == 31
    assert capsys.readouterr().out == "36 images, 31 expectations, nothing critical broken\n"


def test_a_breach_names_ten_files_and_counts_the_rest(workspace):
    with pytest.raises(InvalidDataError) as caught:
        judge(workspace, records(**EMPTY))
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
        judge(workspace, records(**EMPTY))
    assert (workspace.data_docs / "index.html").is_file()
    (page,) = (workspace.data_docs / "validations").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "every mask of a lesion class shows a lesion" in text
    assert "benign/odd09.png" in text


def test_the_index_tells_the_outcome_and_no_page_needs_the_web(workspace):
    with pytest.raises(InvalidDataError):
        judge(workspace, records(marks=4, **EMPTY))
    index = (workspace.data_docs / "index.html").read_text(encoding="utf-8")
    assert "Validation of images: failed" in index
    assert "Broken: 1 critical, 1 as a warning." in index
    assert index.index("shows a lesion") < index.index("burned-in") < index.index("listed twice")
    assert "<b>15</b>: benign/odd00.png" in index
    assert "benign/odd09.png and 5 more" in index
    linked = re.findall(r'href="([^"]+)"', index)
    assert len(linked) == 2
    assert all((workspace.data_docs / page).is_file() for page in linked)
    for page in workspace.data_docs.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img)[^>]*"https?:[^>]*>', page.read_text(encoding="utf-8")
        )
        assert fetched == []


def test_what_classes_show_unequally_is_told(workspace, capsys):
    rows = [*records(marks=3), record("normal/c.png", colour_share=0.1)]
    judge(workspace, rows)
    report = read_json(workspace.validation, ValidationReport)
    assert report.shares["burned-in marks"]["benign"] == round(15 / 27, 4)
    out = capsys.readouterr().out.splitlines()
    assert "burned-in marks: benign 56 %, malignant 0 %, normal 0 %" in out
    assert "colour: benign 0 %, malignant 0 %, normal 8 %" in out


def test_a_label_conflict_is_listed_and_shown(workspace, capsys):
    images = ("benign/00.png", "malignant/00.png")
    pair = {"kind": "copy", "score": 0, "agreement": 1.0, "transform": "identity"}
    write_rows(workspace.pairs, Pair, [Pair(first=images[0], second=images[1], **pair)])
    for image in images:
        path = workspace.raw / image
        path.parent.mkdir(parents=True)
        Image.new("L", (40, 30), 90).save(path)
    judge(workspace, records())
    (conflict,) = read_json(workspace.validation, ValidationReport).conflicts
    assert conflict.labels == {"benign/00.png": "benign", "malignant/00.png": "malignant"}
    assert conflict.links == (images,)
    page = workspace.likeness.read_text(encoding="utf-8")
    assert "Label conflicts: 1" in page
    assert page.count("<img src=") == 2
    told = "label conflicts: 1, pairs of images that are alike: 1; see reports/likeness.html"
    assert told in capsys.readouterr().out.splitlines()


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
