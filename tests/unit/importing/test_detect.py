from pathlib import PurePosixPath
from typing import get_args

import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing import detect
from hgmnet.importing.source_files import Folder
from pipelines.cli import data
from tests.source_files import as_csv, breast, bus_bra, encoded, folder

CLASSES = {"benign/a.png": encoded(), "malignant/b.png": encoded()}
TABLE = {"t.csv": as_csv(("image", "label"), [("benign/a.png", "benign")])}


def planned(tmp_path, files, form="auto", given=None):
    there = Folder(folder(tmp_path / "s", files))
    return detect.plan(there, given and PurePosixPath(given), tmp_path / "s", form)


@pytest.mark.parametrize(
    ("files", "form", "table"),
    [
        (CLASSES, "busi", None),
        (CLASSES | {"notes.csv": b"a,b\n1,2\n", "old.csv": b"\xff"}, "busi", None),
        (CLASSES | TABLE, "table", "t.csv"),
        (bus_bra(), "bus-bra", "BUSBRA/bus_data.csv"),
        (breast(), "breast", "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"),
        (breast("c.csv"), "breast", "c.csv"),
        (bus_bra() | {"__MACOSX/._bus_data.csv": b"\0"}, "bus-bra", "BUSBRA/bus_data.csv"),
        (bus_bra() | {"~$bus_data.xlsx": b"\0"}, "bus-bra", "BUSBRA/bus_data.csv"),
    ],
)
def test_a_source_is_recognised(tmp_path, files, form, table):
    plan = planned(tmp_path, files)
    assert plan.format == form
    assert plan.tables == ((PurePosixPath(table),) if table else ())


def test_a_given_table_is_taken_by_its_columns_whatever_its_name(tmp_path):
    files = bus_bra("")
    files["mine.csv"] = files.pop("bus_data.csv")
    assert planned(tmp_path, files, given="mine.csv").format == "bus-bra"


def test_a_given_format_is_kept_to(tmp_path):
    assert planned(tmp_path, CLASSES | TABLE, "busi").format == "busi"
    with pytest.raises(InvalidDataError, match=r"t\.csv lacks the column ID, Case, Pathology"):
        planned(tmp_path, TABLE, "bus-bra", given="t.csv")
    with pytest.raises(InvalidDataError, match="belongs to a table with the columns CaseID"):
        planned(tmp_path, CLASSES | TABLE, "breast")


def test_two_tables_are_not_guessed_between(tmp_path):
    files = CLASSES | TABLE | {"u.csv": TABLE["t.csv"]}
    with pytest.raises(InvalidDataError, match=r"t\.csv \(table\) and u\.csv \(table\); give the"):
        planned(tmp_path, files)


def test_nothing_recognised_says_what_was_looked_for(tmp_path):
    with pytest.raises(InvalidDataError) as caught:
        planned(tmp_path, {"bus_data.csv": b"\xff"})
    said = str(caught.value)
    assert "\n" not in said
    for part in ("bus_data.csv with", "CaseID", "image, label", "class folders", "is not UTF-8"):
        assert part in said


def test_a_given_table_of_other_columns_is_told_them(tmp_path):
    with pytest.raises(InvalidDataError, match="has the columns a, b; expected"):
        planned(tmp_path, {"t.csv": b"a,b\n1,2\n"}, given="t.csv")


def test_the_command_offers_every_format():
    assert get_args(detect.Format) == data.FORMATS
