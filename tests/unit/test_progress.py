"""Bars of long work: on a terminal alone, and gone at the end."""

import io
from contextlib import redirect_stderr

import pytest

from hgmnet.data.progress import batches, left, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_counts_on_a_terminal_and_disappears():
    with redirect_stderr(Terminal()) as terminal:
        assert list(progress(iter("abc"), "reading images", 3)) == ["a", "b", "c"]
    shown = terminal.getvalue()
    assert "reading images:   0%" in shown
    assert "0/3" in shown
    assert shown.split("\r")[-2].strip() == ""


def test_elsewhere_nothing_is_printed(capsys):
    assert list(progress(range(3), "reading images")) == [0, 1, 2]
    assert [part.stop for part in batches(5, 2, "predicting")] == [2, 4, 5]
    assert capsys.readouterr() == ("", "")


def test_batches_are_slices_of_all():
    assert [range(5)[part] for part in batches(5, 2, "x")] == [range(2), range(2, 4), range(4, 5)]
    assert list(batches(0, 2, "x")) == []


@pytest.mark.parametrize(("seconds", "text"), [(0, "none left"), (600, "about 10 min left")])
def test_time_left(seconds, text):
    assert left(seconds) == text
