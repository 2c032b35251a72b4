"""Great Expectations' verdict on a shift is the shift's own."""

import pytest

from hgmnet.evaluation.drift import Shift
from pipelines.drift.report import check_drift


def shift(column, statistic, bound=0.2):
    medians = {"reference_median": 80.0, "new_median": 90.0}
    return Shift(column=column, images=50, statistic=statistic, bound=bound, **medians)


SHIFTS = [
    shift("brightness", 0.1999),
    shift("contrast", 0.2),
    shift("dark", 0.2001),
    shift("speckle", 0.3, bound=0.4),
    shift("width", 1.0),
]


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    return tmp_path_factory.mktemp("drift") / "docs"


@pytest.fixture(scope="module")
def outcomes(docs):
    return check_drift(SHIFTS, docs)


def test_each_column_is_held_against_its_own_bound(outcomes):
    assert [not outcome.held for outcome in outcomes] == [one.drifted for one in SHIFTS]
    assert [dict(outcome.broken_by) for outcome in outcomes] == [
        {},
        {},
        {"dark": "0.2001"},
        {},
        {"width": "1.0"},
    ]


@pytest.mark.usefixtures("outcomes")
@pytest.mark.parametrize("one", SHIFTS, ids=lambda one: one.column)
def test_the_page_names_column_and_bound(docs, one):
    (page,) = (docs / "validations").rglob("*.html")
    said = (
        f"{one.column} is distributed as in the reference: "
        f"Kolmogorov-Smirnov distance at most {one.bound:.3f}"
    )
    assert said in page.read_text(encoding="utf-8")
