"""The cache of the likeness search: the same as without, and only for what it holds."""

import dataclasses

import numpy as np
import pytest

from hgmnet.config.data import Phantom
from hgmnet.phantom import generate
from hgmnet.splitting import features, near_duplicates
from pipelines.validation.near_duplicate_cache import LikenessCache

PARAMS = Phantom(seed=5, benign=3, malignant=2, normal=1, copies=2, width=160, height=130)


@pytest.fixture(scope="module")
def greys():
    return {case.name: generate.render(case, PARAMS).image for case in generate.plan(PARAMS)}


def readers(greys):
    return {name: lambda grey=grey: grey for name, grey in greys.items()}


def unread():
    raise AssertionError("it was described before")


def same(one, other):
    pairs = zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_features_come_back_as_they_were_without_reading(tmp_path, greys):
    fresh = LikenessCache(tmp_path).describe(readers(greys))
    again = LikenessCache(tmp_path).describe(dict.fromkeys(greys, unread))
    assert all(same(fresh[name], features.describe(grey)) for name, grey in greys.items())
    assert all(same(fresh[name], again[name]) for name in greys)


def test_only_what_is_new_is_read(tmp_path, greys):
    first, *others = greys
    LikenessCache(tmp_path).describe(readers({name: greys[name] for name in others}))
    images = dict.fromkeys(others, unread) | {first: lambda: greys[first]}
    assert LikenessCache(tmp_path).describe(images).keys() == greys.keys()


def test_features_of_images_that_left_go(tmp_path, greys):
    _first, *others = greys
    cache = LikenessCache(tmp_path)
    cache.describe(readers(greys))
    cache.describe(dict.fromkeys(others, unread))
    assert {path.stem for path in cache.folder.iterdir()} == set(others)


def test_what_was_tried_comes_back(tmp_path, greys):
    cache = LikenessCache(tmp_path)
    described = cache.describe(readers(greys))
    assert cache.tried() == {}
    search = near_duplicates.search(described, {})
    assert search.pairs
    cache.keep(search.tried)
    again = LikenessCache(tmp_path)
    assert (
        near_duplicates.search(again.describe(readers(greys)), again.tried()).pairs == search.pairs
    )
    assert again.tried().keys() == search.tried.keys()


def test_a_damaged_file_is_made_anew(tmp_path, greys):
    cache = LikenessCache(tmp_path)
    cache.describe(readers(greys))
    cache.keep({})
    for path in cache.folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert cache.tried() == {}
    found = LikenessCache(tmp_path).describe(readers(greys))
    assert all(same(found[name], features.describe(grey)) for name, grey in greys.items())


def test_what_other_code_made_goes(tmp_path, greys):
    (tmp_path / "0123456789abcdef").mkdir()
    cache = LikenessCache(tmp_path)
    cache.describe(readers(greys))
    assert [*tmp_path.iterdir()] == [cache.folder]
