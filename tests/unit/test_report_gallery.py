"""How images are drawn: outlines on the mask's border, maps below them, captions."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from hgmnet.evaluation import model_maps
from hgmnet.pages import overlays
from pipelines.report.gallery import SIDE, GalleryImage, choose, draw, draw_shelves, list_shelves
from tests.made_up import CASES, case


def test_outline_runs_along_the_border_of_the_mask():
    truth = np.zeros((40, 60), dtype=bool)
    truth[10:20, 30:50] = True
    tile = draw(CASES[0], GalleryImage(np.zeros((40, 60), np.uint8), truth, np.zeros_like(truth)))
    assert "predicted" not in tile.svg
    path = re.search(r'class="outline truth" d="M([^"]*)Z"', tile.svg)[1]
    points = np.array([[float(v) for v in p.split()] for p in path.split("L")])
    assert points.min(axis=0) == pytest.approx([30, 10], abs=0.1)
    assert points.max(axis=0) == pytest.approx([50, 20], abs=0.1)


def test_a_mask_at_the_edge_is_closed_along_it_and_two_parts_are_two_loops():
    mask = np.zeros((20, 20), dtype=bool)
    mask[:4, :4] = mask[15:, 15:] = True
    tile = draw(CASES[0], GalleryImage(np.zeros((20, 20), np.uint8), mask, mask))
    paths = re.findall(r'class="outline \w+" d="([^"]*)"', tile.svg)
    assert [(path.count("M"), path.count("Z")) for path in paths] == [(2, 2), (2, 2)]


def test_even_the_smallest_mask_is_outlined_in_a_large_image():
    mask = np.zeros((1000, 1000), dtype=bool)
    mask[500, 500] = True
    tile = draw(CASES[0], GalleryImage(np.zeros((1000, 1000), np.uint8), mask, mask))
    assert re.search(r'outline truth" d="M[^"]+Z"', tile.svg)


def test_a_large_image_is_made_smaller_and_keeps_its_shape():
    grey = np.full((500, 1000), 77, np.uint8)
    none = np.zeros((500, 1000), dtype=bool)
    tile = draw(CASES[0], GalleryImage(grey, none, none))
    encoded = re.search(r"base64,([^\"]+)", tile.svg)[1]
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.size == (SIDE, SIDE // 2)
    assert f'viewBox="0 0 {SIDE} {SIDE // 2}"' in tile.svg


def test_caption_and_alternative_text_tell_what_is_seen():
    none = np.zeros((10, 10), dtype=bool)
    picture = GalleryImage(np.zeros((10, 10), np.uint8), none, ~none)
    tile = draw(CASES[5], picture)
    assert (tile.name, tile.caption) == ("normal (1)", "normal → normal 0.80, mask not served")
    assert "Truth: no lesion. Prediction: lesion on 100.0 % of the image." in tile.svg
    assert draw(CASES[1], picture).caption == "benign → benign 0.80, Dice 0.800"
    assert "image &lt;i&gt;," in draw(CASES[2], picture).svg


def test_a_malignant_lesion_that_is_not_called_so_tells_its_probability_too():
    probs = {"benign": 0.7, "malignant": 0.25, "normal": 0.05}
    missed = case("malignant/a.png", tp=1, decision="benign", probs=probs)
    none = np.zeros((10, 10), dtype=bool)
    caption = draw(missed, GalleryImage(np.zeros((10, 10), np.uint8), none, none)).caption
    assert caption == "malignant → benign 0.70, malignant 0.25, Dice 1.000"


def test_a_map_is_stretched_over_the_whole_picture_below_the_outlines():
    mask = np.ones((40, 60), dtype=bool)
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    maps = ((model_maps.PROB, ramp), (model_maps.gate(2, 4), ramp))
    svg = draw(CASES[0], GalleryImage(np.zeros((40, 60), np.uint8), mask, mask, maps)).svg
    layers = re.findall(r'<image class="layer (\w+)" width="60" height="40"', svg)
    assert layers == ["prob", "gate2"]
    assert svg.index("layer prob") < svg.index("layer gate2") < svg.index("outline truth")


def test_the_colours_of_a_map_tell_its_values():
    uri = overlays.heat_uri(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    colours = np.frombuffer(overlays.palette(), np.uint8).reshape(256, 3)
    assert [image.getpixel((x, 0)) for x in range(3)] == [tuple(colours[i]) for i in (0, 128, 255)]
    assert (np.diff(colours.astype(float) @ (0.2126, 0.7152, 0.0722)) > 0).all()


def test_a_large_map_is_made_smaller_by_means():
    halves = np.repeat([[0.0, 1.0]], 256, axis=0).repeat(256, axis=1).astype(np.float32)
    small = overlays.shrunk(halves)
    assert small.shape == (overlays.SIDE // 2, overlays.SIDE)
    assert small.mean() == pytest.approx(0.5)


def test_relative_maps_end_at_one_each_and_nothing_stays_nothing():
    maps = np.zeros((3, 8, 8), np.float32)
    maps[0, 4, 4], maps[1, 2, 2] = 5, 0.01
    found = model_maps.relative(maps)
    assert found.max(axis=(1, 2)).tolist() == [1, 1, 0]
    assert found[0, 3:6, 3:6].min() == 1
    assert found[0].sum() == 9


def test_shelves_are_drawn_in_order_with_the_maps_that_lie_over_them():
    none = np.zeros((10, 10), dtype=bool)
    maps = ((model_maps.EVIDENCE, np.zeros((2, 2), np.float32)),)
    picture = GalleryImage(np.zeros((10, 10), np.uint8), none, none, maps)
    drawn = draw_shelves(choose(CASES[:7]), {c.image: picture for c in CASES})
    assert [len(shelf.tiles) for shelf in drawn] == [2, 1, 2, 1, 0, 0, 0]
    assert [shelf.layers for shelf in drawn] == [(model_maps.EVIDENCE,)] * 4 + [()] * 3


def test_without_pictures_the_captions_stay():
    drawn, listed = (
        draw_shelves(choose(CASES), {c.image: blank() for c in CASES}),
        list_shelves(choose(CASES)),
    )
    assert [[(t.name, t.caption) for t in s.tiles] for s in listed] == [
        [(t.name, t.caption) for t in s.tiles] for s in drawn
    ]
    assert {t.svg for s in listed for t in s.tiles} == {""}


def blank() -> GalleryImage:
    none = np.zeros((10, 10), dtype=bool)
    return GalleryImage(np.zeros((10, 10), np.uint8), none, none)
