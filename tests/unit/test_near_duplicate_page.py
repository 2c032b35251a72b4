"""What the page of likenesses shows, in what order, and what it leaves out."""

import re

import numpy as np
import pytest

from hgmnet.splitting.pairs import Pair, find_conflicts
from pipelines.validation.near_duplicate_page import SHOWN, render_likeness
from tests.records import record


def pair(first, second, kind="scene", agreement=0.5, transform="shift"):
    return Pair(
        first=first,
        second=second,
        kind=kind,
        score=round(100 * agreement),
        agreement=agreement,
        transform=transform,
    )


@pytest.fixture
def read():
    return lambda _: np.full((30, 40), 90, np.uint8)


def render(pairs, read):
    names = sorted({name for one in pairs for name in (one.first, one.second)})
    rows = [record(name) for name in names]
    labels = {row.image: row.label for row in rows}
    return render_likeness("tiny", labels, pairs, find_conflicts(rows, pairs), read)


def shown(page, section):
    """The captions of a section's pairs, as file name and file name."""
    found = re.search(rf'<section id="{section}">.*?</section>', page, re.DOTALL)[0]
    names = re.findall(r'alt="([^"]*)"', found)
    return list(zip(names[::2], names[1::2], strict=True))


def test_each_kind_has_its_place_the_least_certain_first(read):
    page = render(
        [
            pair("a/1", "a/2", agreement=0.6),
            pair("a/3", "a/4", agreement=0.4),
            pair("a/5", "a/6", "copy", 0.99),
            pair("a/7", "b/7", "copy", 0.97),
        ],
        read,
    )
    assert shown(page, "conflicts") == [("a/7", "b/7")]
    assert shown(page, "copies") == [("a/7", "b/7"), ("a/5", "a/6")]
    assert shown(page, "scenes") == [("a/3", "a/4"), ("a/1", "a/2")]
    assert "agreement 0.400 · 40 agreeing points · shift" in page


def test_equal_pixels_and_a_person_s_pairs_are_counted(read):
    page = render(
        [
            pair("a/1", "a/2", "copy", 1, "identity"),
            pair("a/1", "a/3", "copy", 1, "identity"),
            pair("a/4", "a/5", "scene", 0, "curation"),
            pair("a/4", "a/6", "scene", 0, "patient"),
        ],
        read,
    )
    assert "<img" not in page
    assert "not shown unless their labels differ: 2." in page
    assert "of one patient, not shown: 2." in page
    assert "No copies bear contradictory labels." in page


def test_what_is_left_out_is_counted_and_conflicts_are_not(read):
    scenes = [pair(f"a/{n}", f"a/{n}x", agreement=0.3 + n / 1000) for n in range(SHOWN + 5)]
    page = render(scenes, read)
    assert len(shown(page, "scenes")) == SHOWN
    assert f"Frames of one scene: {SHOWN + 5} pairs" in page
    assert f"The {SHOWN} least certain; 5 with more agreement are left out." in page
    conflicts = [pair(f"a/{n}", f"b/{n}", "copy", 1, "identity") for n in range(SHOWN + 5)]
    assert len(shown(render(conflicts, read), "conflicts")) == SHOWN + 5


def test_names_are_escaped_and_the_page_stands_alone(read):
    page = render([pair("a/<i>", "a/2")], read)
    assert "<i>" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page == render([pair("a/<i>", "a/2")], read)
