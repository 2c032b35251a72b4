from pathlib import PurePosixPath

import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.importing.formats import table


def planned(text, path="in/t.csv"):
    return table.plan(spreadsheet.read(text.encode(), PurePosixPath(path)))


def test_all_that_a_row_may_say():
    (picture,) = planned(
        "image,label,mask,patient,spacing,device,note\n"
        'anna\\1.dcm,Benign,m/1.png; m/2.png,anna,0.07,GE,"old, grey"\n'
    )
    assert str(picture.source) == "in/anna/1.dcm"
    assert (picture.label, picture.stem) == ("benign", "anna_1")
    assert [str(mask) for mask in picture.masks] == ["in/m/1.png", "in/m/2.png"]
    assert (picture.patient, picture.pixel_mm) == ("anna", 0.07)
    assert picture.further == {"device": "GE", "note": "old, grey"}


def test_the_least_that_a_row_must_say():
    (picture,) = planned("image,label\na.png,normal\n")
    assert (picture.masks, picture.patient, picture.pixel_mm) == ((), "", 0)
    assert picture.further == {}


def test_pixel_mm_goes_before_spacing_and_each_may_be_empty():
    first, second = planned("image,label,spacing,pixel_mm\na.png,normal,9,0.1\nb.png,normal,9,\n")
    assert (first.pixel_mm, first.further) == (0.1, {"spacing": "9"})
    assert second.pixel_mm == 0


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("../a.png,benign,,", r"in/t\.csv, row 2: \.\./a\.png leads out"),
        ("/a.png,benign,,", "leads out"),
        ("C:\\a.png,benign,,", "leads out"),
        ("a.png,benign,x/../../m.png,", "leads out"),
        ("a.png,,,", "row 2: a.png has no label"),
        (",benign,,", "row 2: no image is named"),
        ("a.png,benign,,wide", "row 2: spacing is 'wide', expected a number above 0"),
        ("a.png,benign,,0", "spacing is '0'"),
        ("a.png,benign,,nan", "spacing is 'nan'"),
        ("a.png,benign,,inf", "spacing is 'inf'"),
        ("a.png,benign,,\na.png,normal,,", "row 3: a.png is in row 2 too"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row, error):
    with pytest.raises(InvalidDataError, match=error) as caught:
        planned(f"image,label,mask,spacing\n{row}\n")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_absent_is_named():
    with pytest.raises(InvalidDataError, match="lacks the column label; it has image, class"):
        planned("image,class\na.png,benign\n")
