"""Axes and charts: where a value lands, which numbers stand beside it, and valid markup."""

from xml.etree import ElementTree as ET

import pytest

from hgmnet.metrics.bootstrap import Figure
from pipelines.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Chart,
    decades,
    linear,
    strip,
    unit,
)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([0.11, 0.48], (0.1, 0.2, 0.3, 0.4, 0.5)),
        ([-3.0, 12.0], (-5.0, 0.0, 5.0, 10.0, 15.0)),
        ([0.0, 9e-4], (0.0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3)),
    ],
)
def test_linear_ticks_are_round_and_enclose_the_values(values, ticks):
    assert linear("x", values).ticks == pytest.approx(ticks)


def test_linear_gives_room_around_a_constant():
    axis = linear("x", [2.0, 2.0])
    assert axis.low < 2 < axis.high


@pytest.mark.parametrize(("value", "place"), [(0.1, 0.0), (1.0, 1 / 3), (100.0, 1.0), (0.0, 0.0)])
def test_decades_place_by_logarithm(value, place):
    assert decades("x", [0.3, 60.0]).place(value) == pytest.approx(place)


def test_corners_of_the_frame_are_the_ends_of_the_axes():
    svg = Chart("c", unit("x"), unit("y")).line([(0, 0), (1, 1)], "s1").svg()
    line = next(e for e in ET.fromstring(svg).iter() if e.tag == "polyline")  # noqa: S314
    assert line.get("points") == f"{LEFT}.0,{HEIGHT - BOTTOM}.0 {WIDTH - RIGHT}.0,30.0"


def test_text_is_escaped_and_the_markup_is_xml():
    chart = Chart('a <b> "c" & d', unit("x<y"), unit("y")).points([(0.5, 0.5, "<i>")], "c1")
    root = ET.fromstring(chart.legend("a&b", "c1").svg())  # noqa: S314
    assert root.get("aria-label") == 'a <b> "c" & d'
    assert {"x<y", "a&b"} <= {e.text for e in root.iter("text")}
    assert [e.text for e in root.iter("title")] == ["<i>"]


def test_strip_draws_dot_interval_and_ticks_on_one_scale():
    figure = Figure(value=0.5, low=0.25, high=1.2, n=9, groups=9)
    root = ET.fromstring(strip(figure, [(0.75, 1), (0.0, 0)]))  # noqa: S314
    assert [e.get("cx") for e in root.iter("circle")] == ["100.0"]
    paths = {e.get("class"): e.get("d") for e in root.iter("path")}
    assert paths["range"] == "M52.0 8H196.0"
    assert paths["bound"].startswith("M148.0 ")
    assert paths["other"].startswith("M4.0 ")
