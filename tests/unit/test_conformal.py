"""Sets of classes: the promised coverage holds on new groups, and is no wider than it must be."""

import numpy as np
import pytest

from hgmnet.evaluation.conformal import Classified, conformal_sets, least_probability

CLASSES = ("benign", "malignant", "normal")


def images(groups: int, seed: int, each: int = 3) -> list[Classified]:
    """Groups of images; the images of a group are alike, and some are hard."""
    rng = np.random.default_rng(seed)
    found = []
    for group in range(groups):
        label, ease = rng.choice(CLASSES), rng.normal(1.5, 1.0)
        for _ in range(each):
            logits = {name: rng.normal() + (ease if name == label else 0) for name in CLASSES}
            total = sum(np.exp(value) for value in logits.values())
            probs = {name: float(np.exp(value) / total) for name, value in logits.items()}
            found.append(Classified(f"{seed}-{group}", str(label), probs))
    return found


def test_the_rank_by_hand():
    scores = [0.1, 0.5, 0.3, 0.9]
    made = [Classified(str(i), "a", {"a": 1 - s, "b": s}) for i, s in enumerate(scores)]
    assert least_probability(made, 0.4) == pytest.approx(1 - 0.5)  # ceil(5 * 0.6) = 3rd of 4
    assert least_probability(made, 0.1) is None  # ceil(5 * 0.9) = 5th of 4: no promise
    worst = [*made, Classified("0", "a", {"a": 0.2, "b": 0.8})]  # group 0's worst image counts
    assert least_probability(worst, 0.4) == pytest.approx(1 - 0.8)


def test_nine_of_ten_new_groups_are_covered_whole():
    held = []
    for seed in range(60):
        least = least_probability(images(80, seed))
        new = images(60, seed + 1000)
        missed = {one.group for one in new if one.probs[one.label] < least}
        held.append(1 - len(missed) / 60)
    assert 0.9 - 0.015 <= np.mean(held) <= 0.9 + 0.03


def test_what_is_reported_is_counted():
    found = conformal_sets(images(80, 1), images(60, 2))
    judged = images(60, 2)
    missed = {one.group for one in judged if one.probs[one.label] < found.least}
    assert found.coverage.value == pytest.approx(1 - len(missed) / 60)
    assert (found.groups, found.coverage.n, found.single.n) == (80, 60, 180)
    assert found.single.low < found.single.value < found.single.high
    assert conformal_sets([], images(3, 1)) is None
    few = conformal_sets(images(5, 1), images(5, 2))
    assert (few.least, few.groups, few.coverage) == (None, 5, None)
