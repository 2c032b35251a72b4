"""What is drawn is counted, tissue is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hgmnet.config.data import Phantom
from hgmnet.data import image_quality, images
from hgmnet.phantom import generate

PARAMS = Phantom(seed=3, benign=12, malignant=12, normal=12, copies=0, width=300, height=240)


@pytest.fixture(scope="module")
def tissue():
    return [generate.render(case, PARAMS).image for case in generate.plan(PARAMS)]


def drawn(grey, draw):
    image = Image.fromarray(grey)
    draw(ImageDraw.Draw(image))
    return np.asarray(image)


def crosses(draw):
    for x, y in [(90, 110), (170, 110)]:
        draw.line([(x - 6, y), (x + 6, y)], 255)
        draw.line([(x, y - 6), (x, y + 6)], 255)


def test_tissue_has_no_marks(tissue):
    assert [image_quality.count_marks(grey) for grey in tissue] == [0] * 36


def test_two_crosses_are_two_marks(tissue):
    assert image_quality.count_marks(drawn(tissue[0] // 2, crosses)) == 2


def test_marks_are_found_on_most_tissue(tissue):
    found = [image_quality.count_marks(drawn(grey, crosses)) for grey in tissue]
    assert sum(count > 0 for count in found) >= 35


def test_text_is_counted_by_the_letter(tissue):
    words = drawn(tissue[1] // 2, lambda draw: draw.text((40, 200), "LT UOQ", 235, font_size=16))
    assert image_quality.count_marks(words) == 5


def test_the_maker_s_sign_in_a_corner_is_none(tissue):
    signed = drawn(tissue[2] // 2, lambda draw: draw.text((8, 4), "E9", 235, font_size=16))
    assert image_quality.count_marks(signed) == 0
    assert image_quality.count_marks(np.ascontiguousarray(signed[::-1])) > 0


def test_a_bright_block_or_a_line_across_is_none():
    block = np.zeros((80, 90), np.uint8)
    block[40:70, 30:60] = 255
    line = np.zeros((80, 90), np.uint8)
    line[40] = 255
    assert image_quality.count_marks(block) == 0
    assert image_quality.count_marks(line) == 0


def test_a_mark_may_touch_the_edge_and_an_image_may_be_tiny():
    edge = np.zeros((80, 90), np.uint8)
    edge[70:, 87:] = 255
    assert image_quality.count_marks(edge) == 1
    assert image_quality.count_marks(np.full((1, 1), 255, np.uint8)) == 0


def test_burned_in_text_of_busi_is_found_and_lesions_are_not(busi):
    def count(name):
        return image_quality.count_marks(images.decode_grey((busi / name).read_bytes(), name))

    marked = ["benign/benign (271).png", "benign/benign (343).png", "malignant/malignant (132).png"]
    bare = ["benign/benign (49).png", "malignant/malignant (86).png", "normal/normal (83).png"]
    assert all(count(name) >= 2 for name in marked)
    assert [count(name) for name in bare] == [0, 0, 0]
