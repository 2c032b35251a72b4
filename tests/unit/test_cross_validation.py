from collections import Counter

import numpy as np
import pytest
from small_store import entry

from hgmnet.errors import ConfigError
from hgmnet.splitting.cross_validation import assign_folds


def made(count: int = 90) -> list:
    """Three classes in turn; groups of one to three neighbours of a class; some in test."""
    return [
        entry(
            f"{label}/{i}.png",
            label=label,
            group=f"{label}{i // 4 if i % 8 < 4 else i}",
            split="test" if i // 8 % 5 == 0 else "train" if i % 3 else "val",
        )
        for label in ("benign", "malignant", "normal")
        for i in range(count // 3)
    ]


def test_every_image_of_train_and_val_is_in_one_fold_and_none_of_test():
    entries = made()
    assigned = assign_folds(entries, 4, seed=0)
    for entry_, fold in zip(entries, assigned, strict=True):
        assert (fold == -1) == (entry_.split == "test")
    assert set(assigned) == {-1, 0, 1, 2, 3}


def test_groups_stay_whole_and_classes_are_spread():
    entries = made(300)
    assigned = assign_folds(entries, 4, seed=1)
    homes: dict[str, set[int]] = {}
    for entry_, fold in zip(entries, assigned, strict=True):
        if fold >= 0:
            homes.setdefault(entry_.group, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in homes.values())
    counts = Counter((e.label, int(f)) for e, f in zip(entries, assigned, strict=True) if f >= 0)
    for label in ("benign", "malignant", "normal"):
        shares = [counts[label, fold] for fold in range(4)]
        assert max(shares) - min(shares) <= 8


def test_the_deal_follows_the_seed_alone():
    entries = made()
    assert np.array_equal(assign_folds(entries, 3, seed=5), assign_folds(entries, 3, seed=5))
    assert not np.array_equal(assign_folds(entries, 3, seed=5), assign_folds(entries, 3, seed=6))


def test_too_few_images_of_a_class_are_named():
    entries = [e for e in made() if e.label != "normal"] + [entry("normal/1.png", label="normal")]
    with pytest.raises(ConfigError, match=r"3 folds need .* there are 1 images of normal"):
        assign_folds(entries, 3, seed=0)
