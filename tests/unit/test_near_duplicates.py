"""Copies that are planted in phantoms, and the law that different phantoms never pair."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hgmnet.config.data import Phantom
from hgmnet.data import images
from hgmnet.phantom import generate
from hgmnet.splitting import features, near_duplicates
from hgmnet.splitting import pairs as duplicates

PARAMS = Phantom(seed=5, benign=9, malignant=9, normal=9, copies=0, width=200, height=160)


def describe(greys):
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(greys, pool.map(features.describe, greys.values()), strict=True))


@pytest.fixture(scope="module")
def originals():
    return {case.name: generate.render(case, PARAMS).image for case in generate.plan(PARAMS)}


@pytest.fixture(scope="module")
def known(originals):
    return describe(originals)


@pytest.fixture(scope="module")
def alone(known):
    """What is found among the originals, and what was tried to find it."""
    return near_duplicates.search(known, {})


def scaled(factor):
    def change(grey):
        size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
        return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))

    return change


def shifted(grey):
    rows, columns = grey.shape[0] // 10, grey.shape[1] // 10
    moved = np.zeros_like(grey)
    moved[rows:, :-columns] = grey[:-rows, columns:]
    return moved


def cropped(grey):
    rows, columns = grey.shape[0] // 10, grey.shape[1] // 10
    return grey[rows:-rows, columns:-columns]


def gamma(power):
    return lambda grey: np.rint(255 * (grey / 255) ** power).astype(np.uint8)


def jpeg(grey):
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def annotated(grey):
    image = Image.fromarray(grey)
    draw = ImageDraw.Draw(image)
    draw.text((20, 20), "RT BREAST 10 H", 255)
    for x, y in [(60, 80), (120, 80), (90, 60), (90, 110)]:
        draw.line([(x - 4, y), (x + 4, y)], 255)
        draw.line([(x, y - 4), (x, y + 4)], 255)
    return np.asarray(image)


CHANGES = {
    "scale 0.7": scaled(0.7),
    "scale 1.4": scaled(1.4),
    "shift": shifted,
    "crop": cropped,
    "gamma 0.7": gamma(0.7),
    "gamma 1.4": gamma(1.4),
    "JPEG": jpeg,
    "overlay": annotated,
    "mirror": lambda grey: np.ascontiguousarray(grey[:, ::-1]),
}


def test_different_phantoms_never_pair(alone):
    assert alone.pairs == ()


def changed(change):
    """Which originals are copied with a change: one a class, no original twice."""
    place = [*CHANGES].index(change)
    return [
        f"{label} ({(place + skip) % len(CHANGES) + 1})"
        for label, skip in (("benign", 0), ("malignant", 2), ("normal", 4))
    ]


@pytest.fixture(scope="module")
def among_copies(originals, known, alone):
    """What is found where every original has a copy beside it."""
    copies = {
        f"z {name}": how(originals[name])
        for change, how in CHANGES.items()
        for name in changed(change)
    }
    assert len(copies) == len(originals)
    return near_duplicates.search(known | describe(copies), alone.tried).pairs


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_told(change, among_copies):
    copied = changed(change)
    concerned = {*copied, *(f"z {name}" for name in copied)}
    pairs = [pair for pair in among_copies if {pair.first, pair.second} & concerned]
    assert [(p.first, p.second) for p in pairs] == [(name, f"z {name}") for name in copied]
    assert {pair.kind for pair in pairs} == {"copy"}
    assert all(near_duplicates.COPY <= pair.agreement <= 1 for pair in pairs)
    assert {pair.transform.endswith("mirrored") for pair in pairs} == {change == "mirror"}


def test_the_copies_planted_in_the_quickstart_are_found(known, alone):
    params = PARAMS.model_copy(update={"copies": 10})
    copies = [case for case in generate.plan(params) if case.copy_of]
    drawn = describe({case.name: generate.render(case, params).image for case in copies})
    planted = {frozenset((c.name, c.copy_of.name)) for c in copies}
    pairs = near_duplicates.search(known | drawn, alone.tried).pairs
    found = {frozenset((pair.first, pair.second)) for pair in pairs}
    assert len(planted) == 10
    assert planted <= found


def test_the_transform_is_told_in_words(originals):
    original = originals["malignant (1)"]
    pairs = near_duplicates.search(describe({"a": original, "b": scaled(1.4)(original)}), {}).pairs
    assert [pair.transform for pair in pairs] == ["scale 1.40, rotation 0°, shift 0,0 px"]
    pairs = near_duplicates.search(describe({"a": original, "b": shifted(original)}), {}).pairs
    rows, columns = original.shape[0] // 10, original.shape[1] // 10
    words = f"scale 1.00, rotation 0°, shift {-columns},{rows} px"
    assert [pair.transform for pair in pairs] == [words]


def test_shared_text_makes_no_pair(originals):
    titled = {}
    for name in ("benign (2)", "normal (2)", "malignant (2)"):
        image = Image.fromarray(scaled(3)(originals[name]))
        ImageDraw.Draw(image).text((60, 300), "LEFT BREAST UPPER OUTER", 255, font_size=40)
        titled[name] = np.asarray(image)
    assert near_duplicates.search(describe(titled), {}).pairs == ()


@pytest.fixture(scope="module")
def grown(originals, known):
    """The originals and a copy, and what is found among them at once."""
    images = known | describe({"z": jpeg(originals["normal (1)"])})
    return images, near_duplicates.search(images, {})


def test_the_order_of_images_does_not_matter(grown):
    images, found = grown
    assert found.pairs
    assert near_duplicates.search(dict(reversed(images.items())), {}).pairs == found.pairs


def test_images_that_show_nothing_are_like_nothing():
    blank = {"a": np.zeros((40, 50), np.uint8), "b": np.full((1, 1), 9, np.uint8)}
    assert near_duplicates.search(describe(blank), {}).pairs == ()
    assert near_duplicates.search({}, {}).pairs == ()


@pytest.mark.slow
def test_a_known_scene_of_busi_is_one_group_and_shared_text_is_not(busi):
    names = [f"malignant/malignant ({n}).png" for n in range(4, 9)]
    strangers = ["benign/benign (3).png", "normal/normal (121).png", "benign/benign (318).png"]
    known = describe({n: images.decode_grey((busi / n).read_bytes(), n) for n in names + strangers})
    pairs = near_duplicates.search(known, {}).pairs
    groups = duplicates.group(known, pairs)
    assert {groups[name] for name in names} == {names[0]}
    assert [groups[name] for name in strangers] == strangers


def test_what_was_tried_before_is_not_tried_again(known, alone, grown):
    images, fresh = grown
    later = near_duplicates.search(images, alone.tried)
    assert (later.pairs, later.tried.keys()) == (fresh.pairs, fresh.tried.keys())
    lies = dict.fromkeys(later.tried)  # what was tried is believed, so nothing is found now
    assert near_duplicates.search(images, lies).pairs == ()
    assert (
        near_duplicates.search(known, later.tried).tried.keys() == alone.tried.keys()
    )  # the rest is gone
