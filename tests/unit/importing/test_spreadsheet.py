import csv
import io
import zipfile
from pathlib import PurePosixPath

import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from tests.source_files import as_xlsx

CSV, XLSX = PurePosixPath("t.csv"), PurePosixPath("t.xlsx")


def test_csv_as_spreadsheets_save_it():
    sheet = spreadsheet.read("\ufeffa, b ,\r\n1, x ,\r\n,,\r\n2,é\r\n".encode(), CSV)
    assert sheet.columns == ("a", "b")
    assert sheet.rows == {2: {"a": "1", "b": "x"}, 4: {"a": "2", "b": "é"}}


def test_xlsx_gives_what_is_seen():
    sheet = spreadsheet.read(as_xlsx(("a", "b", "c"), [(1, 2.0, None), (0.0071, "é", "4c")]), XLSX)
    assert sheet.columns == ("a", "b", "c")
    assert sheet.rows == {
        2: {"a": "1", "b": "2", "c": ""},
        3: {"a": "0.0071", "b": "é", "c": "4c"},
    }


@pytest.mark.parametrize(
    ("data", "path", "error"),
    [
        (b"a,a\n1,2\n", CSV, "has the column a twice"),
        (b"a\n1,2\n", CSV, "row 2: more cells than columns"),
        (b"caf\xe9\n", CSV, "is not UTF-8; save it as CSV UTF-8"),
        (b'a\n"' + b"x" * 200_000, CSV, "is not valid CSV: field larger"),
        (b"a\n" + b"1\n" * 100_001, CSV, "has more than 100,000 rows"),
        (b"no zip", XLSX, r"can't be read as \.xlsx: File is not a zip"),
    ],
)
def test_what_is_no_table_is_refused(data, path, error):
    with pytest.raises(InvalidDataError, match=error):
        spreadsheet.read(data, path)


def test_any_broken_xlsx_is_refused_in_one_line_or_read():
    whole = as_xlsx(("a",), [(1,)])
    said = []
    for at in range(0, len(whole), 101):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            spreadsheet.read(bytes(damaged), XLSX)
        except InvalidDataError as error:
            said.append(str(error))
    assert len(said) > 3
    assert not any("\n" in line for line in said)


def test_a_bomb_in_an_xlsx_is_refused():
    data = io.BytesIO(as_xlsx(("a",), [(1,)]))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/media/big.bin", bytes(2**27))
    with pytest.raises(InvalidDataError, match="would unpack to"):
        spreadsheet.read(data.getvalue(), XLSX)


def test_a_sheet_that_lies_about_its_size_is_read_by_its_cells():
    source, changed = io.BytesIO(as_xlsx(("a",), [(1,)])), io.BytesIO()
    with zipfile.ZipFile(source) as packed, zipfile.ZipFile(changed, "w") as other:
        for info in packed.infolist():
            data = packed.read(info)
            if info.filename.endswith("sheet1.xml"):
                assert b'ref="A1:A2"' in data
                data = data.replace(b'ref="A1:A2"', b'ref="A1:XFD1048576"')
            other.writestr(info.filename, data)
    assert spreadsheet.read(changed.getvalue(), XLSX).rows == {2: {"a": "1"}}


ROWS = [["image", "label", "mask", "pixel_mm"], ["a ä.png", "benign", "m1.png;m2.png", "0,07"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n"])
def test_marks_and_encodings_of_spreadsheet_programs(encoding, mark, first):
    text = io.StringIO()
    csv.writer(text, delimiter=mark).writerows(ROWS)
    bom = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    data = (bom + first.format(mark) + text.getvalue()).encode(encoding)
    sheet = spreadsheet.read(data, PurePosixPath("t.csv"))
    assert [*sheet.columns] == ROWS[0]
    assert [*sheet.rows[2].values()] == ROWS[1]
    assert spreadsheet.number(sheet.rows[2]["pixel_mm"], "x") == 0.07


def test_a_mark_in_a_cell_is_none():
    sheet = spreadsheet.read(b'image,label,"note; a; b; c; d"\nx.png,benign,1;2\n', CSV)
    assert sheet.columns == ("image", "label", "note; a; b; c; d")
