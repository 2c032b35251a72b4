"""The validate stage on a manifest: what it writes, what it says, and its exit status."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

from hgmnet.config.data import Data
from hgmnet.config.params import load_params
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import InvalidDataError
from hgmnet.splitting.pairs import Pair
from pipelines.artifacts.io import read_json, write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.validation import ValidationReport
from pipelines.stages import validate
from tests.records import record

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Data(name="phantom", classes=("benign", "malignant", "normal"))
BOUNDS = load_params(REPOSITORY / "params.yaml").validate_


EMPTY = {"mask_pixels": 0, "mask_parts": 0, "mask_smallest": 0}
ODD = [f"benign/odd{number:02}.png" for number in range(15)]


@dataclass(frozen=True)
class Judged:
    """A run of the stage: what it printed and raised, and what it had written when it ended."""

    workspace: Workspace
    out: str
    error: str | None
    report: ValidationReport
    written: bytes

    @property
    def lines(self):
        return self.out.splitlines()


def records(**bad):
    """Twelve good images a class and, if anything is `bad`, fifteen benign ones with that."""
    good = [f"{label}/{number:02}.png" for label in DATA.classes for number in range(12)]
    return [record(image) for image in good] + [record(image, **bad) for image in ODD if bad]


def make_workspace(root):
    space = Workspace(root, DATA.name)
    write_rows(space.pairs, Pair, [])
    return space


def judge(workspace, rows):
    write_rows(workspace.manifest, ImageRecord, rows)
    error = None
    with redirect_stdout(StringIO()) as out:
        try:
            validate.run(workspace.root, DATA, BOUNDS)
        except InvalidDataError as refusal:
            error = str(refusal)
    report = read_json(workspace.validation, ValidationReport)
    return Judged(workspace, out.getvalue(), error, report, workspace.validation.read_bytes())


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Good images, without a network."""

    def refuse(*_):
        raise AssertionError("validation reached for the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        return judge(make_workspace(tmp_path_factory.mktemp("judged")), records())


@pytest.fixture(scope="module")
def bad(good):
    """In the same workspace, five breaches that are critical and one that is not."""
    absent = {f"normal/{number:02}.png" for number in range(3)}
    rows = [r for r in records(marks=4, **EMPTY) if r.image not in absent]
    rows[0] = rows[0].model_copy(update={"error": f"{rows[0].image} can't be decoded:\ncut off"})
    rows.append(record("malignant/small.png", width=20, mask_values="0, 128"))
    return judge(good.workspace, rows)


ALIKE = ("benign/00.png", "malignant/00.png")
QUESTIONABLE = [
    *records(marks=3),
    record("normal/c.png", colour_share=0.1),
    record("malignant/dim.png", intensity_std=0.5),
]


@pytest.fixture(scope="module")
def questionable(tmp_path_factory):
    """Nothing critical: marks, colour, an image next to blank, and copies under two labels."""
    workspace = make_workspace(tmp_path_factory.mktemp("questionable"))
    pair = {"kind": "copy", "score": 0, "agreement": 1.0, "transform": "identity"}
    write_rows(workspace.pairs, Pair, [Pair(first=ALIKE[0], second=ALIKE[1], **pair)])
    for image in ALIKE:
        path = workspace.raw / image
        path.parent.mkdir(parents=True)
        Image.new("L", (40, 30), 90).save(path)
    return judge(workspace, QUESTIONABLE)


def test_good_images_pass_without_network(good):
    report = good.report
    assert good.error is None
    assert report.passed
    assert (report.failures, report.conflicts) == ((), ())
    assert (report.images, report.per_class) == (36, dict.fromkeys(DATA.classes, 12))
    assert report.expectations == 35
    assert good.out == "36 images, 35 expectations, no critical failure\n"


def test_every_critical_breach_has_a_line_of_its_own(bad):
    """The line names ten files and counts the rest, with their values or with the count."""
    mend = "; fix the files, or exclude them in curation.csv"
    unread, side, binary, lesion, few = bad.error.splitlines()
    read = "every image can be read with its masks"
    assert unread == f"{read}: not met by benign/00.png (can't be decoded: cut off){mend}"
    assert side == f"the shorter side is at least 64 px: not met by malignant/small.png (20){mend}"
    black = "every mask holds only black and white (0 and 255)"
    assert binary.startswith(f"{black}: not met by malignant/small.png (0, 128); import again")
    assert "--mask-values" in binary
    assert "--mask-threshold" in binary
    named = ", ".join(ODD[:10])
    shows = "every mask of a lesion class shows a lesion"
    assert lesion == f"{shows}: not met by {named} and 5 more{mend}"
    count = "class normal has at least 10 usable images: found 9"
    lower = "in params.yaml lower validate.min_per_class or remove the class from data.classes"
    assert few == f"{count}; add images, or {lower}"


def test_the_report_names_all_files(bad):
    assert not bad.report.passed
    assert [(failure.severity, list(failure.files)) for failure in bad.report.failures] == [
        ("critical", ["benign/00.png"]),
        ("critical", ["malignant/small.png"]),
        ("critical", ["malignant/small.png"]),
        ("critical", ODD),
        ("warning", ODD),
        ("critical", []),
    ]


def test_a_warning_is_told_and_does_not_end_the_run(questionable):
    report = questionable.report
    assert questionable.error is None
    assert report.passed
    assert {failure.severity for failure in report.failures} == {"warning"}
    assert [list(failure.files) for failure in report.failures] == [
        ["malignant/dim.png"],
        ["normal/c.png"],
        ODD,
        [*ALIKE],
        [*ALIKE],
    ]
    assert [line.startswith("warning: ") for line in questionable.lines[:6]] == [True] * 5 + [False]
    assert questionable.out.startswith("warning: no image is next to blank: not met by")


def test_the_same_manifest_gives_the_same_bytes(questionable):
    again = judge(questionable.workspace, QUESTIONABLE[::-1])
    assert again.written == questionable.written


def test_the_pages_can_be_read_and_hold_only_the_last_run(bad):
    (page,) = (bad.workspace.data_docs / "validations").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "every mask of a lesion class shows a lesion" in text
    assert "benign/odd09.png" in text


def test_the_index_tells_the_outcome_and_no_page_needs_the_web(bad):
    docs = bad.workspace.data_docs
    index = (docs / "index.html").read_text(encoding="utf-8")
    assert "Validation of images: failed" in index
    assert "Broken: 5 critical, 1 as a warning." in index
    assert index.index("shows a lesion") < index.index("burned-in") < index.index("listed twice")
    assert "<b>15</b>: benign/odd00.png" in index
    assert "benign/odd09.png and 5 more" in index
    linked = re.findall(r'href="([^"]+)"', index)
    assert len(linked) == 2
    assert all((docs / page).is_file() for page in linked)
    for page in docs.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img)[^>]*"https?:[^>]*>', page.read_text(encoding="utf-8")
        )
        assert fetched == []


def test_what_classes_show_unequally_is_told(questionable):
    assert questionable.report.shares["burned-in marks"]["benign"] == round(15 / 27, 4)
    assert "burned-in marks: benign 56 %, malignant 0 %, normal 0 %" in questionable.lines
    assert "colour: benign 0 %, malignant 0 %, normal 8 %" in questionable.lines


def test_a_label_conflict_is_listed_and_shown(questionable):
    (conflict,) = questionable.report.conflicts
    assert conflict.labels == {"benign/00.png": "benign", "malignant/00.png": "malignant"}
    assert conflict.links == (ALIKE,)
    page = questionable.workspace.likeness.read_text(encoding="utf-8")
    assert "Label conflicts: 1" in page
    assert page.count("<img src=") == 2
    line = "label conflicts: 1, pairs of near-duplicates: 1; see reports/likeness.html"
    assert line in questionable.lines


@pytest.mark.slow
def test_the_command_ends_with_status_4_and_one_line(tmp_path):
    workspace = make_workspace(tmp_path)
    for name in ("dvc.yaml", "params.yaml", "pccp.yaml"):
        shutil.copy(REPOSITORY / name, workspace.root)
    write_rows(workspace.manifest, ImageRecord, records(masks_match=False))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "validate"],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("hgmnet: InvalidData: every mask has its image's size: not met by")
    assert not read_json(workspace.validation, ValidationReport).passed
