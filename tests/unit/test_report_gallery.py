"""Which images are shown, and that outlines lie on the mask's border."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from pipelines.report.gallery import SIDE, Picture, choose, draw, draw_shelves
from tests.made_up import CASES, case


def lesions(count):
    """Dice rises with the number in the name."""
    return [case(f"benign/{i:02}.png", tp=i, fn=50 - i) for i in range(count)]


def names(shelf):
    return [int(c.name) for c in shelf.cases]


def test_best_median_and_worst_of_many():
    best, median, worst, _ = choose(lesions(21))
    assert names(best) == [20, 19, 18, 17]
    assert names(median) == [11, 10, 9, 8]
    assert names(worst) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", range(14))
def test_no_lesion_is_shown_twice_and_few_are_all_shown(count):
    shown = [name for shelf in choose(lesions(count))[:3] for name in names(shelf)]
    assert len(shown) == len(set(shown)) == min(count, 12)


def test_normals_are_those_with_a_mask_the_largest_first():
    found = [case("normal/a.png", fp=1), case("normal/b.png", fp=9, served=0)]
    shelf = choose([*found, case("normal/c.png")])[3]
    assert [c.name for c in shelf.cases] == ["b", "a"]
    assert shelf.note == "2 of 3 normals got a mask from the network, 1 of them also as served"


def test_outline_runs_along_the_border_of_the_mask():
    truth = np.zeros((40, 60), dtype=bool)
    truth[10:20, 30:50] = True
    tile = draw(CASES[0], Picture(np.zeros((40, 60), np.uint8), truth, np.zeros_like(truth)))
    assert "predicted" not in tile.svg
    path = re.search(r'class="outline truth" d="M([^"]*)Z"', tile.svg)[1]
    points = np.array([[float(v) for v in p.split()] for p in path.split("L")])
    assert points.min(axis=0) == pytest.approx([30, 10], abs=0.1)
    assert points.max(axis=0) == pytest.approx([50, 20], abs=0.1)


def test_a_mask_at_the_edge_is_closed_along_it_and_two_parts_are_two_loops():
    mask = np.zeros((20, 20), dtype=bool)
    mask[:4, :4] = mask[15:, 15:] = True
    tile = draw(CASES[0], Picture(np.zeros((20, 20), np.uint8), mask, mask))
    paths = re.findall(r'class="outline \w+" d="([^"]*)"', tile.svg)
    assert [(path.count("M"), path.count("Z")) for path in paths] == [(2, 2), (2, 2)]


def test_even_the_smallest_mask_is_outlined_in_a_large_image():
    mask = np.zeros((1000, 1000), dtype=bool)
    mask[500, 500] = True
    tile = draw(CASES[0], Picture(np.zeros((1000, 1000), np.uint8), mask, mask))
    assert re.search(r'outline truth" d="M[^"]+Z"', tile.svg)


def test_a_large_image_is_made_smaller_and_keeps_its_shape():
    grey = np.full((500, 1000), 77, np.uint8)
    none = np.zeros((500, 1000), dtype=bool)
    tile = draw(CASES[0], Picture(grey, none, none))
    encoded = re.search(r"base64,([^\"]+)", tile.svg)[1]
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.size == (SIDE, SIDE // 2)
    assert f'viewBox="0 0 {SIDE} {SIDE // 2}"' in tile.svg


def test_caption_and_alternative_text_tell_what_is_seen():
    none = np.zeros((10, 10), dtype=bool)
    picture = Picture(np.zeros((10, 10), np.uint8), none, ~none)
    tile = draw(CASES[5], picture)
    assert (tile.name, tile.told) == ("normal (1)", "normal → normal (0.80), mask not served")
    assert "Truth: no lesion. Prediction: lesion on 100.0 % of the image." in tile.svg
    assert draw(CASES[1], picture).told == "benign → benign (0.80), Dice 0.800"
    assert "image &lt;i&gt;," in draw(CASES[2], picture).svg


def test_shelves_are_drawn_in_order():
    none = np.zeros((10, 10), dtype=bool)
    picture = Picture(np.zeros((10, 10), np.uint8), none, none)
    drawn = draw_shelves(choose(CASES[:7]), {c.image: picture for c in CASES})
    assert [len(shelf.tiles) for shelf in drawn] == [2, 1, 2, 1]
