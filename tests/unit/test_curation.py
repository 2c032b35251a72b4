import pytest

from hgmnet.data import metadata
from hgmnet.errors import InvalidDataError

IMAGES = ["benign/a.png", "benign/b, c.png"]


def parse(*lines, header="image,group,exclude,reason"):
    return metadata.parse("\n".join([header, *lines]), "curation.csv", IMAGES)


def test_notes():
    first, second = parse("benign/a.png,patient 1,,", '"benign/b, c.png",,True,blurred')
    assert (first.image, first.group, first.exclude) == ("benign/a.png", "patient 1", False)
    assert (second.image, second.exclude, second.reason) == ("benign/b, c.png", True, "blurred")


def test_empty_lines_and_excel_s_mark_are_passed_over():
    assert parse("", header="\ufeffimage,group,exclude,reason") == []
    assert metadata.parse(metadata.HEADER, "curation.csv", IMAGES) == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("benign/x.png,,,", r"line 2: 'benign/x\.png' is no image below raw/"),
        ("benign/a.png,,", "line 2: expected 4 cells"),
        ("benign/a.png,,yes,x", "line 2: exclude is 'yes', expected true or false"),
        ("benign/a.png,,true,", "line 2: benign/a.png is excluded without a reason"),
        ("benign/a.png,,,\nbenign/a.png,,,", "line 3: 'benign/a.png' is named twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line, error):
    with pytest.raises(InvalidDataError, match=rf"curation\.csv, {error}"):
        parse(line)


@pytest.mark.parametrize("header", ["", "image,group", "image,group,exclude,reason,more"])
def test_other_columns_are_refused(header):
    with pytest.raises(InvalidDataError, match=r"expected the columns image,group,exclude,reason"):
        parse(header=header)
