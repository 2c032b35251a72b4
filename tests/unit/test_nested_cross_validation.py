"""Who trains, tunes and is judged in a fold: groups whole, the fold whole, nothing of test."""

from collections import Counter

import numpy as np
import pytest
from small_store import entry, small_store

from hgmnet.errors import ConfigError
from hgmnet.splitting.cross_validation import (
    JUDGED,
    OUT,
    assign_folds,
    nested_fold,
    pool,
    subsample_training_groups,
    with_splits,
)
from pipelines.studies.designs import leaked
from tests.unit.test_cross_validation import made


def sides_of(entries, folds: int = 4, **changes):
    assigned = assign_folds(entries, folds, seed=0, grouped=changes.get("grouped", True))
    return assigned, [
        nested_fold(entries, assigned, k, parts=4, seed=0, **changes) for k in range(folds)
    ]


def test_a_group_is_on_one_side_and_every_image_is_judged_once():
    entries = pool(made(240), everything=False)
    assigned, sides = sides_of(entries)
    for fold, side in enumerate(sides):
        homes: dict[str, set[str]] = {}
        for one, where in zip(entries, side, strict=True):
            if where != OUT:
                homes.setdefault(one.group, set()).add(where)
        assert all(len(where) == 1 for where in homes.values())
        assert [w == JUDGED for w in side] == list(assigned == fold)
        assert {one.label for one, w in zip(entries, side, strict=True) if w == "val"} == {
            *("benign", "malignant", "normal")
        }
        assert 0.15 < side.count("val") / (side.count("val") + side.count("train")) < 0.35
        assert leaked(entries, side) == 0
    judged = np.array([[w == JUDGED for w in side] for side in sides]).sum(axis=0)
    assert set(judged[assigned >= 0]) == {1}
    assert set(judged[assigned < 0]) == {0}


def test_the_test_split_takes_no_part_unless_it_is_asked_for():
    raw = made(240)
    for everything in (False, True):
        entries = pool(raw, everything=everything)
        _, (side, *_) = sides_of(entries)
        out = [one.split == "test" for one, where in zip(raw, side, strict=True) if where == OUT]
        assert all(out)
        assert len(out) == (0 if everything else sum(one.split == "test" for one in raw))


def test_dealt_image_by_image_groups_straddle():
    entries = pool(made(240), everything=False)
    _, sides = sides_of(entries, grouped=False)
    assert sum(leaked(entries, side) for side in sides) > 20


def test_a_smaller_share_is_part_of_every_larger_one_and_only_training_shrinks():
    entries = pool(made(240), everything=False)
    _, (side, *_) = sides_of(entries)
    before: set[int] = set()
    groups = {e.group for e, w in zip(entries, side, strict=True) if w == "train"}
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        thinned = subsample_training_groups(entries, side, share, seed=3)
        kept = {i for i, where in enumerate(thinned) if where == "train"}
        assert before < kept
        left = {entries[i].group for i in kept}
        assert len(left) == pytest.approx(share * len(groups), abs=3)  # rounded up by class
        assert {entries[i].label for i in kept} == {"benign", "malignant", "normal"}
        assert {i for i, w in enumerate(thinned) if w == "val"} == {
            i for i, w in enumerate(side) if w == "val"
        }
        before = kept
    assert thinned == side


def test_a_few_images_are_whole_groups_the_largest_first():
    raw = made(240)
    few = [one for one in pool(raw, everything=False, per_class=10) if one.split == "train"]
    sizes = {one.group: sum(other.group == one.group for other in raw) for one in few}
    assert len(few) == sum(sizes.values())
    for label in ("benign", "malignant", "normal"):
        assert 7 <= sum(one.label == label for one in few) <= 10
    assert max(sizes.values()) == max(Counter(one.group for one in raw).values())


def test_a_fold_that_is_not_there_and_a_class_too_rare_are_named():
    entries = pool(made(), everything=False)
    assigned = assign_folds(entries, 3, seed=0)
    with pytest.raises(ConfigError, match="fold 3: the folds are numbered 0 to 2"):
        nested_fold(entries, assigned, 3, parts=4, seed=0)
    two = [e for e in made() if e.label != "normal"]
    rare = [*two, *(entry(f"normal/{i}.png", label="normal", group=f"n{i}") for i in range(2))]
    assigned = assign_folds(rare, 2, seed=0)
    with pytest.raises(ConfigError, match=r"2 folds need .* 1 images of normal"):
        nested_fold(rare, assigned, 0, parts=4, seed=0)


def test_a_sided_store_has_the_same_pictures(tmp_path):
    store = small_store(tmp_path)
    sides = tuple(["train", JUDGED] * 9)
    changed = with_splits(store, sides)
    assert list(changed.rows(JUDGED)) == list(range(1, 18, 2))
    assert changed.images is store.images
