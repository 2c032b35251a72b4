"""Intervals: the bootstrap by group, and Wilson's for proportions, whichever is wider."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from hgmnet.figure import Figure

Rows = NDArray[np.int64]
_BLOCK = 100  # draws in memory at a time
_Z = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of one value a row, as a statistic; NaN of no rows."""

    values: NDArray[np.float64]

    def __call__(self, rows: Rows) -> float:
        """Of these rows."""
        return float(self.values[rows].mean()) if len(rows) else nan


class GroupBootstrap:
    """Resamples of rows in which groups are drawn, with replacement, and come whole.

    Images of one group are not independent: drawing them singly makes intervals too narrow.
    """

    def __init__(self, groups: Sequence[str], draws: int, seed: int) -> None:
        """Fix `draws` resamples of rows that belong to `groups` (one name a row)."""
        names, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        self.members: list[Rows] = [np.flatnonzero(inverse == i) for i in range(len(names))]
        self.draws = draws
        self.seed = seed

    def resamples(self) -> Iterator[Rows]:
        """The rows of each resample; the same ones every time."""
        for block in self._chosen():
            for chosen in block:
                yield np.concatenate([self.members[i] for i in chosen])

    def drawn(self, statistic: Callable[[Rows], float]) -> NDArray[np.float64]:
        """A statistic of each resample, (draws,); all at once where it is a `Mean`."""
        if isinstance(statistic, Mean):
            return self._means(statistic.values)
        return np.array([statistic(rows) for rows in self.resamples()])

    def _means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From sums and sizes of the groups, by how often each was drawn."""
        count = len(self.members)
        sums = np.array([[values[rows].sum(), len(rows)] for rows in self.members])
        parts = []
        for block in self._chosen():
            apart = block + count * np.arange(len(block))[:, None]
            often = np.bincount(apart.ravel(), minlength=block.size).reshape(block.shape)
            totals = often @ sums
            parts.append(totals[:, 0] / totals[:, 1])
        return np.concatenate(parts)

    def _chosen(self) -> Iterator[NDArray[np.int64]]:
        """The groups of each resample, (some draws, groups) at a time."""
        generator = np.random.default_rng(self.seed)
        count = len(self.members)
        for done in range(0, self.draws, _BLOCK):
            yield generator.integers(count, size=(min(_BLOCK, self.draws - done), count))

    def figure(self, statistic: Callable[[Rows], float], *, proportion: bool) -> Figure:
        """A statistic of rows, with the 2.5 and 97.5 % points of its resamples.

        For a proportion the wider of that and Wilson's interval with n = number of groups: where
        nearly all succeed, a bootstrap may draw nothing but successes and end in [1, 1].
        Resamples in which the statistic is NaN (a class is missing) are left out.
        """
        rows = np.sort(np.concatenate(self.members)) if self.members else np.empty(0, np.int64)
        n, groups = len(rows), len(self.members)
        value = statistic(rows) if n else nan
        if not isfinite(value):
            return Figure(value=None, low=None, high=None, n=n, groups=groups)
        low, high = np.nanpercentile(self.drawn(statistic), [2.5, 97.5])
        if proportion:
            wilson_low, wilson_high = wilson(value, groups)
            low, high = min(low, wilson_low), max(high, wilson_high)
        return Figure(value=float(value), low=float(low), high=float(high), n=n, groups=groups)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share out of n (Wilson, JASA 22, 1927)."""
    z2 = _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
