from pathlib import PurePosixPath

import pytest

from hgmnet.data import images, manifest
from hgmnet.errors import InvalidDataError
from hgmnet.importing import detect, importer, spreadsheet
from hgmnet.importing.formats import breast
from hgmnet.importing.source_files import Folder
from tests.source_files import BREAST_COLUMNS, BREAST_ROWS, BREAST_TABLE, as_csv, folder, zipped
from tests.source_files import breast as made


def planned(files, tmp_path):
    found = Folder(folder(tmp_path / "s", files))
    plan = detect.plan(found, None, tmp_path, "auto")
    assert plan.format == "breast"
    return plan.pictures


@pytest.mark.parametrize("table", [BREAST_TABLE, "clinical.csv"])
@pytest.mark.parametrize("where", ["", "BrEaST-Lesions_USG-images_and_masks/"])
def test_images_are_found_beside_the_table_or_below_it(tmp_path, table, where):
    first, second, normal = planned(made(table, where), tmp_path)
    assert str(first.source) == f"{where}case001.png"
    assert [str(mask) for mask in second.masks] == [f"{where}case002_tumor.png"]
    assert normal.masks == ()
    assert [p.label for p in (first, second, normal)] == ["benign", "malignant", "normal"]
    assert [p.patient for p in (first, second, normal)] == ["1", "2", "45"]
    assert [p.pixel_mm for p in (first, second, normal)] == pytest.approx([0.071, 0.0885, 0.071])
    assert dict(second.further) == {
        "Mask_other_filename": "case002_other1.png&case002_other2.png", "Age": "41",
        "Shape": "oval", "BIRADS": "5", "Verification": "x", "Diagnosis": "y",
    }  # fmt: skip


def sheet(**changes):
    row = dict(zip(BREAST_COLUMNS, BREAST_ROWS[0], strict=True)) | changes
    data = as_csv(tuple(row), [tuple(row.values())])
    return spreadsheet.read(data, PurePosixPath("t.csv"))


def test_sizes_in_millimetres_stay():
    (picture,) = breast.plan(sheet(Pixel_size=0.08), {PurePosixPath("case001.png"): bytes})
    assert picture.pixel_mm == 0.08


def test_two_tumour_masks():
    names = "case001_tumor1.png&case001_tumor2.png"
    (picture,) = breast.plan(sheet(Mask_tumor_filename=names), {})
    assert [str(mask) for mask in picture.masks] == names.split("&")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"Pixel_size": "seven"}, r"t\.csv, row 2: Pixel_size is 'seven', expected a number"),
        ({"Pixel_size": "-1"}, "Pixel_size is '-1'"),
        ({"Image_filename": ""}, r"t\.csv, row 2: no Image_filename"),
    ],
)
def test_a_bad_cell_is_named(changes, error):
    with pytest.raises(InvalidDataError, match=error):
        breast.plan(sheet(**changes), {})


def test_two_files_of_one_name_are_not_guessed_between(tmp_path):
    files = made() | {"copy/case001.png": b"x"}
    with pytest.raises(InvalidDataError, match="have the same name"):
        planned(files, tmp_path)


def test_a_column_that_is_absent_is_named():
    short = spreadsheet.read(b"CaseID,Image_filename\n1,a.png\n", PurePosixPath("t.csv"))
    with pytest.raises(InvalidDataError, match="lacks the column Mask_tumor_filename, Pixel_size"):
        breast.plan(short, {})


def test_the_whole_way_to_the_manifest(tmp_path):
    raw = tmp_path / "data" / "breast" / "raw"
    came = importer.lay_out(zipped(tmp_path / "s.zip", made()), raw)
    assert (came.masks, came.unmasked, came.patients, came.spaced) == (2, 0, 3, 3)
    assert [one.file.rpartition("/")[2] for one in came.left_out] == [
        "case002_other1.png",
        "case002_other2.png",
    ]
    records = {record.image: record for record in manifest.build(raw)}
    assert not [record.error for record in records.values() if record.error]
    benign, normal = records["benign/case001.png"], records["normal/case045.png"]
    assert (benign.patient, benign.pixel_mm, benign.mode) == ("1", 0.071, "RGBA")
    assert benign.mask_pixels == 24
    assert (normal.masks, normal.mask_pixels) == ((), 0)
    mask = (raw / "benign/case001_mask.png").read_bytes()
    assert (images.decode_mask(mask, "x") == 255).all()
