"""Folds of a cross-validation: whole groups, every class in the same share; train and val alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from hgmnet.data.store import Entry, Store
from hgmnet.errors import ConfigError


def deal_folds(
    entries: Sequence[Entry], folds: int, seed: int, *, grouped: bool = True
) -> NDArray[np.int64]:
    """Deal images into folds: a group stays whole, each class is spread evenly.

    The test split takes no part.

    Args:
        entries: N images.
        folds: how many.
        seed: of the deal.
        grouped: False deals image by image, as one must not: to measure what that flatters.

    Returns:
        (N,) the fold of each image, -1 for those of the test split.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    dealt = np.full(len(entries), -1, dtype=np.int64)
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
        dealt[rows[held]] = fold
    return dealt


def hold_out(store: Store, dealt: NDArray[np.int64], fold: int) -> Store:
    """The store for one fold: its images are `val`, the other folds' `train`; test stays test."""

    def side(row: int) -> str:
        if dealt[row] < 0:
            return "test"
        return "val" if dealt[row] == fold else "train"

    entries = tuple(
        entry.model_copy(update={"split": side(row)}) for row, entry in enumerate(store.entries)
    )
    return Store(store.images, store.masks, entries)
