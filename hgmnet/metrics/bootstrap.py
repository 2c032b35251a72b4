"""Bootstrap by group: intervals (with Wilson's for proportions) and paired differences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from hgmnet.config.base import Frozen


class Figure(Frozen):
    """A metric with its 95 % interval, from `n` images in `groups` groups.

    `value` is None if it can't be computed.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int


Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
_CELLS = 2_000_000  # weights in memory at a time
_BLOCK = 100  # draws at a time, independent of memory
_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_Z_ONE_SIDED = 1.6448536269514722  # its 95 % point
_Z_POWER = 0.8416212335729143  # its 80 % point


@dataclass(frozen=True, eq=False)
class Mean:
    """Mean of one value per row, (N,)."""

    values: Values

    def __call__(self, weights: Values) -> Values:
        """Weighted means, (draws,), for weights (draws, N)."""
        return divide(weights @ self.values, weights.sum(axis=1))


@dataclass(frozen=True, eq=False)
class Ratio:
    """Sum of one value per row over the sum of another, (N,) each."""

    above: Values
    below: Values

    def __call__(self, weights: Values) -> Values:
        """Ratios of weighted sums, (draws,), for weights (draws, N)."""
        return divide(weights @ self.above, weights @ self.below)


def divide(above: Values, below: Values) -> Values:
    """Divide element by element; NaN where `below` is 0."""
    nothing = np.full(np.shape(above), nan)
    return np.asarray(np.divide(above, below, out=nothing, where=below != 0))


def whole(statistic: Statistic, n: int) -> float:
    """Compute a statistic of n rows, each once; NaN if n is 0."""
    return float(statistic(np.ones((1, n)))[0]) if n else nan


class GroupBootstrap:
    """Bootstrap that draws whole groups with replacement.

    Images of one group are not independent: drawing single images makes intervals too narrow.
    """

    def __init__(self, groups: Sequence[str], draws: int, seed: int) -> None:
        """Fix `draws` resamples of rows in `groups` (one name per row)."""
        names, self._group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        self.rows, self.groups = len(groups), len(names)
        self.draws, self.seed = draws, seed

    def weights(self) -> Iterator[Values]:
        """Yield how often each row was drawn, (some draws, N) at a time; equal at every call."""
        step = max(1, min(_BLOCK, _CELLS // max(self.rows, 1)))
        generator = np.random.default_rng(self.seed)
        for done in range(0, self.draws, _BLOCK):
            count = min(_BLOCK, self.draws - done)
            chosen = generator.integers(self.groups, size=(count, self.groups))
            for start in range(0, len(chosen), step):
                block = chosen[start : start + step]
                apart = block + self.groups * np.arange(len(block))[:, None]
                often = np.bincount(apart.ravel(), minlength=block.shape[0] * self.groups)
                yield often.reshape(len(block), self.groups)[:, self._group].astype(np.float64)

    def drawn(self, statistic: Statistic) -> Values:
        """Compute a statistic of each resample, (draws,)."""
        return np.concatenate([statistic(weights) for weights in self.weights()])

    def figure(self, statistic: Statistic, *, proportion: bool) -> Figure:
        """Compute a statistic of all rows, with its 95 % interval: `percentiles` of the resamples.

        A proportion gets the wider of that and Wilson's interval with n = number of groups: if
        nearly all succeed, a bootstrap may draw only successes and give [1, 1]. Resamples with a
        NaN statistic (a class is missing) are ignored.
        """
        value = whole(statistic, self.rows)
        if not isfinite(value):
            return Figure(value=None, low=None, high=None, n=self.rows, groups=self.groups)
        low, high = np.nanpercentile(self.drawn(statistic), percentiles(self.groups, 0.025))
        if proportion:
            wilson_low, wilson_high = wilson(value, self.groups)
            low, high = min(low, wilson_low), max(high, wilson_high)
        ends = float(low), float(high)
        return Figure(value=value, low=ends[0], high=ends[1], n=self.rows, groups=self.groups)


@dataclass(frozen=True)
class Paired:
    """A figure of two models on the same images.

    `difference`: after minus before. `low`, `high`: its 95 % interval. `lower`, `upper`: its
    one-sided 95 % bounds. `sees`: the true gain that a one-sided test at 5 % detects with 80 %
    power.
    """

    before: float
    after: float
    difference: float
    low: float
    high: float
    lower: float
    upper: float
    sees: float
    n: int
    groups: int


def paired(
    groups: Sequence[str], before: Statistic, after: Statistic, draws: int, seed: int
) -> Paired:
    """Compare two models by a statistic of the same rows, resampled together.

    Interval and bounds are `percentiles` of the resampled differences. `sees` is (z.95 + z.80) of
    their standard deviations: the normal theory's power of a one-sided test. `groups`: one per row;
    resampled as a whole.

    Raises:
        ValueError: the statistic is NaN for either.
    """
    bootstrap = GroupBootstrap(groups, draws, seed)
    one, other = whole(before, bootstrap.rows), whole(after, bootstrap.rows)
    if not isfinite(other - one):
        raise ValueError(f"expected a statistic of both models, got {one} and {other}")
    drawn = bootstrap.drawn(lambda weights: after(weights) - before(weights))
    low, high = map(float, np.nanpercentile(drawn, percentiles(bootstrap.groups, 0.025)))
    lower, upper = map(float, np.nanpercentile(drawn, percentiles(bootstrap.groups, 0.05)))
    sees = (_Z_ONE_SIDED + _Z_POWER) * float(np.nanstd(drawn))
    n, count = bootstrap.rows, bootstrap.groups
    return Paired(one, other, other - one, low, high, lower, upper, sees, n, count)


def percentiles(groups: int, tail: float) -> tuple[float, float]:
    """Return the percentiles, 0 to 100, that exclude `tail` of the resamples at either end.

    With n groups they are slightly further out than `tail`, because the variance of resamples is
    too small by (n - 1) / n, and because of the t distribution's tails: Hesterberg, What Teachers
    Should Know About the Bootstrap, The American Statistician 69(4), 2015, section 5.1 (expanded
    percentiles).
    """
    if groups < 2:
        return 0.0, 100.0
    end = 100 * float(ndtr(sqrt(groups / (groups - 1)) * stdtrit(groups - 1, tail)))
    return end, 100 - end


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion of n (Wilson, JASA 22, 1927)."""
    z2 = _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
