"""Great Expectations' verdict on a shift is the shift's own."""

import pytest

from hgmnet.drift import Shift
from pipelines.expectations_drift import check_drift


def shift(column, statistic, bound=0.2):
    medians = {"reference_median": 80.0, "new_median": 90.0}
    return Shift(column=column, images=50, statistic=statistic, bound=bound, **medians)


def test_each_column_is_held_against_its_own_bound(tmp_path):
    shifts = [
        shift("brightness", 0.1999),
        shift("contrast", 0.2),
        shift("dark", 0.2001),
        shift("speckle", 0.3, bound=0.4),
        shift("width", 1.0),
    ]
    outcomes = check_drift(shifts, tmp_path / "docs")
    assert [not outcome.held for outcome in outcomes] == [one.drifted for one in shifts]
    assert [dict(outcome.broken_by) for outcome in outcomes] == [
        {},
        {},
        {"dark": "0.2001"},
        {},
        {"width": "1.0"},
    ]


@pytest.mark.parametrize("statistic", [0.1, 0.3])
def test_the_page_names_column_and_bound(tmp_path, statistic):
    check_drift([shift("speckle", statistic)], tmp_path / "docs")
    (page,) = (tmp_path / "docs" / "validations").rglob("*.html")
    said = "speckle is distributed as in the reference: Kolmogorov-Smirnov distance at most 0.200"
    assert said in page.read_text(encoding="utf-8")
