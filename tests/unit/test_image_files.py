"""Which files are images: by content, with every other file named."""

import csv
import io
import os
from pathlib import Path, PurePosixPath

import pydicom
import pytest

from hgmnet.data.image_files import (
    HEAD,
    PassedOver,
    find,
    find_in,
    passed_over_text,
    stem_of,
    why_no_image,
    write_passed_over,
)
from hgmnet.errors import ConfigError
from hgmnet.importing import importer
from hgmnet.prediction.files import find_files
from tests.source_files import dicom_file, encoded, folder, zipped

KINDS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")


def reasons(folder: Path) -> dict[str, str]:
    return dict(find_in(folder).passed_over)


@pytest.mark.parametrize("data", [*(encoded(7, kind) for kind in KINDS), dicom_file()])
@pytest.mark.parametrize("name", ["scan", "1.2.840.113619", "scan.png_", "SCAN.IMA"])
def test_an_image_of_any_name_is_one(data: bytes, name: str) -> None:
    assert why_no_image(PurePosixPath(name), lambda size: data[:size]) == ""


@pytest.mark.parametrize(
    "data", [b"", b"BMI,age\n21,60\n", b"RIFF1234AVI LIST", b"%PDF-1.7", b"II,MM\n", b"GIF"]
)
def test_what_begins_like_no_image_is_none(data: bytes) -> None:
    assert why_no_image(PurePosixPath("a.dat"), lambda _: data) == "no image"


def test_only_names_that_say_nothing_are_opened_and_a_few_bytes_read() -> None:
    opened = []

    def read(size: int) -> bytes:
        opened.append(size)
        return b""

    found = find(dict.fromkeys(map(PurePosixPath, ("a.png", "b.DCM", ".c", "notes.txt")), read))
    assert list(map(str, found.images)) == ["a.png", "b.DCM"]
    assert opened == [HEAD]
    assert HEAD <= 1024


def test_a_broken_image_is_an_image_that_its_reader_refuses(tmp_path: Path) -> None:
    folder(tmp_path, {"a.png": b"no image", "b.tif": b""})
    assert list(map(str, find_in(tmp_path).images)) == ["a.png", "b.tif"]


def test_an_index_of_dicom_files_is_none(tmp_path: Path) -> None:
    header = pydicom.dcmread(io.BytesIO(dicom_file()))
    header.SOPClassUID = "1.2.840.10008.1.3.10"
    header.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert reasons(tmp_path) == {"DICOMDIR": "an index of DICOM files"}


def test_files_of_systems_and_hidden_ones_are_named_last(tmp_path: Path) -> None:
    names = (".DS_Store", ".git/config", "._a.png", "Thumbs.db", "__MACOSX/._a.png", "desktop.ini")
    folder(tmp_path, dict.fromkeys(names, b"x") | {"a.png": encoded(), "a_mask.png": encoded()})
    assert list(reasons(tmp_path).items()) == [
        ("Thumbs.db", "no image"),
        ("desktop.ini", "no image"),
        ("a_mask.png", "mask of a.png"),
        (".DS_Store", "hidden"),
        ("._a.png", "hidden"),
        (".git", "hidden"),
        ("__MACOSX", "hidden"),
    ]


def test_a_mask_is_one_beside_its_image_alone(tmp_path: Path) -> None:
    names = (
        *("a.dcm", "a_mask.png", "a_Mask_2.png", "1.2.3", "1.2.3_mask.png"),
        *("b_mask.png", "id_masked_scan2.png", "x/a_mask.png"),
    )
    folder(tmp_path, dict.fromkeys(names, dicom_file()))
    found = find_in(tmp_path)
    assert {str(image): list(map(str, masks)) for image, masks in found.images.items()} == {
        "1.2.3": ["1.2.3_mask.png"],
        "a.dcm": ["a_mask.png", "a_Mask_2.png"],
        "id_masked_scan2.png": [],
    }
    lone = [name for name, why in reasons(tmp_path).items() if why.startswith("named like a mask")]
    assert lone == ["b_mask.png", "x/a_mask.png"]


def test_the_ends_of_a_dicom_name_are_no_suffix(tmp_path: Path) -> None:
    assert stem_of(Path("1.2.840.113619.2.55.3")) == "1.2.840.113619.2.55.3"
    names = ("1.2.3", "1.2.4")
    source = folder(tmp_path / "s", {f"benign/{name}": dicom_file() for name in names})
    importer.lay_out(source, tmp_path / "data/mine/raw")
    imported = sorted(path.name for path in tmp_path.glob("data/mine/raw/benign/*"))
    assert imported == ["1.2.3.png", "1.2.4.png"]


def test_an_image_without_a_suffix_in_a_zip_is_imported(tmp_path: Path) -> None:
    files = {"benign/scan": encoded(5, "JPEG"), "benign/notes": b"no image", "movie.avi": b"RIFF"}
    came = importer.lay_out(zipped(tmp_path / "s.zip", files), tmp_path / "data/mine/raw")
    assert came.per_class == {"benign": 1}
    assert came.left_out == (("benign/notes", "no image"), ("movie.avi", "no image"))


def test_links_pipes_and_locked_folders_are_named(tmp_path: Path) -> None:
    folder(tmp_path / "set", {"a.png": encoded(), "locked/b.png": encoded()})
    (tmp_path / "set/gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "set/other").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "set/pipe.png")
    (tmp_path / "set/locked").chmod(0)
    found = reasons(tmp_path / "set")
    (tmp_path / "set/locked").chmod(0o755)
    if os.geteuid():
        assert found.pop("locked") == "can't be read: Permission denied"
    assert found == {"gone.png": "not a file", "pipe.png": "not a file", "other": "a linked folder"}


def test_a_pattern_means_images_and_a_name_itself(tmp_path: Path) -> None:
    names = ("a.png", "a_mask.png", "b_mask.png", "notes.txt", "x/c.png")
    folder(tmp_path, dict.fromkeys(names, encoded()) | {"notes.txt": b"x"})
    found = find_files([f"{tmp_path}/*"])
    assert [file.name for file in found.images] == ["a.png"]
    assert {Path(one.file).name for one in found.passed_over} == {*names[1:4], "x"}
    found = find_files([str(tmp_path), str(tmp_path / "b_mask.png")])
    assert [file.name for file in found.images] == ["a.png", "c.png", "b_mask.png"]
    assert "b_mask.png" not in {Path(one.file).name for one in found.passed_over}


def test_a_folder_of_lone_masks_is_refused_with_their_names(tmp_path: Path) -> None:
    folder(tmp_path, {f"{number}_mask.png": encoded() for number in range(7)})
    with pytest.raises(ConfigError, match=r"7 files passed over: .*0_mask.png .* and 2 more"):
        find_files([str(tmp_path)])


def test_five_are_named_and_all_are_written(tmp_path: Path) -> None:
    passed = [PassedOver(f"{number}.txt", "no image") for number in range(7)]
    text = passed_over_text(passed, "out/passed_over.csv")
    assert text.startswith("7 files passed over: 0.txt (no image), 1.txt")
    assert text.endswith("4.txt (no image) and 2 more, see out/passed_over.csv")
    assert passed_over_text(passed[:1], "x") == "1 file passed over: 0.txt (no image)"
    table = tmp_path / "passed_over.csv"
    write_passed_over(table, passed)
    with table.open() as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == passed
    write_passed_over(table, [])
    assert not table.exists()
    table.write_text("mine")
    write_passed_over(table, [])
    with pytest.raises(ConfigError, match="not overwritten"):
        write_passed_over(table, passed)
    assert table.read_text() == "mine"
