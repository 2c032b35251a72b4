"""Folds of whole groups, and the train, val and test images of a nested cross-validation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.errors import ConfigError


def assign_folds(
    entries: Sequence[PreparedImage], folds: int, seed: int, *, grouped: bool = True
) -> NDArray[np.int64]:
    """Assign images to folds, (N,) int64: groups stay whole, each class is spread evenly.

    Images of the test split are in no fold: -1. `grouped`: False assigns image by image, which
    leaks: only to measure by how much.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    assigned = np.full(len(entries), -1, dtype=np.int64)
    rows = np.array([i for i, entry in enumerate(entries) if entry.split != "test"])
    labels = np.array([entries[i].label for i in rows])
    groups = [entries[i].group for i in rows]
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        scarce = f"{counts.min()} images of {names[counts.argmin()]}"
        raise ConfigError(f"{folds} folds need as many images of every class; there are {scarce}")
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    dealer = kind(folds, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(dealer.split(rows, labels, groups if grouped else None)):
        assigned[rows[held]] = fold
    return assigned


JUDGED, OUT = "judged", "out"
"""Besides `train` and `val`: the evaluated fold, and images that are left out."""

Sides = tuple[str, ...]


def pool(
    entries: Sequence[PreparedImage], *, everything: bool, per_class: int | None = None
) -> tuple[PreparedImage, ...]:
    """Return all entries: those that take part as `train`, the others as `test`, in no fold.

    `everything`: include the test split. `per_class`: at most this many images of each class; whole
    groups, the largest first.
    """
    there = [everything or entry.split != "test" for entry in entries]
    if per_class is not None:
        chosen = _few([e for e, part in zip(entries, there, strict=True) if part], per_class)
        there = [p and e.group in chosen for e, p in zip(entries, there, strict=True)]
    return tuple(
        entry.model_copy(update={"split": "train" if part else "test"})
        for entry, part in zip(entries, there, strict=True)
    )


def nested_fold(
    entries: Sequence[PreparedImage],
    assigned: NDArray[np.int64],
    fold: int,
    *,
    parts: int,
    seed: int,
    grouped: bool = True,
) -> Sides:
    """Roles for one fold: its images are evaluated, one part of the others is val, the rest train.

    `assigned`: (N,) from `assign_folds`. `parts`: number of parts of the other folds; fewer if a
    class has fewer images.

    Raises:
        ConfigError: there is no such fold, or the other folds have a single image of a class.
    """
    if fold not in assigned:
        raise ConfigError(f"fold {fold}: the folds are numbered 0 to {assigned.max()}")
    others = (assigned >= 0) & (assigned != fold)
    left = [
        entry.model_copy(update={"split": "train" if other else "test"})
        for entry, other in zip(entries, others, strict=True)
    ]
    scarcest = min(Counter(entry.label for entry in left if entry.split == "train").values())
    inner = assign_folds(left, max(2, min(parts, scarcest)), seed, grouped=grouped)
    sides = np.select([assigned < 0, assigned == fold, inner == 0], [OUT, JUDGED, "val"], "train")
    return tuple(map(str, sides))


def subsample_training_groups(
    entries: Sequence[PreparedImage], sides: Sides, share: float, seed: int
) -> Sides:
    """Keep a fraction of the training groups, equal for each class; leave out the others.

    With the same seed, a smaller `share`, in (0, 1], gives a subset of every larger one. A group's
    class is that of its first image. At least one group of each class stays.
    """
    home: dict[str, str] = {}
    for entry, side in zip(entries, sides, strict=True):
        if side == "train":
            home.setdefault(entry.group, entry.label)
    kept: set[str] = set()
    for label in sorted(set(home.values())):
        groups = sorted(group for group, its in home.items() if its == label)
        order = np.random.default_rng(seed).permutation(len(groups))
        kept |= {groups[i] for i in order[: ceil(share * len(groups) - 1e-9)]}
    return tuple(
        OUT if side == "train" and entry.group not in kept else side
        for entry, side in zip(entries, sides, strict=True)
    )


def with_splits(store: PreparedDataset, sides: Sides) -> PreparedDataset:
    """Return the store with these roles as splits."""
    entries = tuple(
        entry.model_copy(update={"split": side})
        for entry, side in zip(store.entries, sides, strict=True)
    )
    return replace(store, entries=entries)


def _few(entries: Sequence[PreparedImage], per_class: int) -> set[str]:
    """Groups, the largest first, ties by name, until each class has enough images."""
    sizes = Counter(entry.group for entry in entries)
    labels = {entry.group: entry.label for entry in entries}
    chosen: set[str] = set()
    counts: Counter[str] = Counter()
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        if counts[labels[group]] + size <= per_class:
            counts[labels[group]] += size
            chosen.add(group)
    return chosen
