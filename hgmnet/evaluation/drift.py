"""Whether new images are like those that a model was made from: a profile, and a comparison.

Each column of numbers is judged by the two-sample Kolmogorov-Smirnov distance D: the largest gap
between the shares of reference and of new images that lie at or below a value. A column has drifted
where D exceeds the larger of two bounds:

- chance: c · √(1/n + 1/m), c = √(-ln(a/2) / 2), Smirnov's asymptotic bound on D for samples of n
  and m from one distribution (N. Smirnov, Ann. Math. Stat. 19, 1948), at a = `FALSE_ALARMS` over
  the number of columns (Bonferroni). Images of one group are not independent, so n is the effective
  number (Σ g)² / Σ g² over the group sizes g: as if a group were one image over and over (Kish,
  Survey Sampling, 1965, chapter 5). The groups of new images are unknown; they are taken to be like
  the reference's.
- `MATTERS`: what is smaller is of no interest, however many images show it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import log, sqrt

import numpy as np
from pydantic import Field
from scipy.stats import ks_2samp

from hgmnet.config.base import Fraction, Frozen, Natural, Positive

FALSE_ALARMS = 0.01
"""How often at most images of the reference's own kind raise an alarm in any column."""

MATTERS = 0.1
"""A distance that matters: a normal distribution moved by a quarter of its standard deviation."""

_KINDS = 50  # values of a column of words; one with more says who an image is, not what kind it is
_KEPT = 100  # values a column; D moves by less than 1/100 through what is left out


class Column(Frozen):
    """A column of the reference.

    `values`: ascending; all of them, or 100 at equal steps of share. `images`: how many it was
    measured on. `independent`: the effective number of images, at most `images`.
    """

    values: tuple[float, ...]
    images: Natural
    independent: Positive


class Profile(Frozen):
    """What a model's images are like.

    `data`: the data set. `columns`: of numbers. `values`: of words, those that the train images
    have by column of images.csv; columns of more than 50 are left out.
    """

    data: str
    columns: dict[str, Column]
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class Shift(Frozen):
    """A column of new images against the reference; `images`: how many new ones it rests on."""

    column: str
    reference_median: float
    new_median: float
    images: int
    statistic: Fraction
    bound: Positive

    @property
    def drifted(self) -> bool:
        """Whether the distance is beyond its bound."""
        return self.statistic > self.bound


class DriftReport(Frozen):
    """New images against the profile of a model.

    `data`: what the model was made from. `model`: its identity. `source`: where the new images
    are, in words. `unreadable`: by name, left out. `drifted`: the columns beyond their bounds.
    `new_values`: by column of words that both have, those that the model's images did not have.
    """

    data: str
    model: str
    source: str
    images: int
    unreadable: tuple[str, ...]
    columns: tuple[Shift, ...]
    drifted: tuple[str, ...]
    new_values: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def summarise(values: Sequence[float], groups: Sequence[str]) -> Column:
    """Make a column of the reference.

    Args:
        values: one an image, at least one.
        groups: the group of each.
    """
    ascending = np.sort(np.asarray(values, dtype=np.float64))
    if len(ascending) > _KEPT:
        steps = 2 * np.arange(_KEPT) + 1
        ascending = ascending[steps * len(ascending) // (2 * _KEPT)]
    sizes = Counter(groups).values()
    return Column(
        values=tuple(ascending.tolist()),
        images=len(values),
        independent=len(values) ** 2 / sum(size**2 for size in sizes),
    )


def kinds(told: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """The values of each column of words, sorted; without empty ones and columns of over 50.

    Args:
        told: of each image, text by column.
    """
    found = _words(told).items()
    return {name: tuple(sorted(v)) for name, v in found if 0 < len(v) <= _KINDS}


def unknown(profile: Profile, told: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Values of new images that the profile does not have, by column that both have.

    Args:
        profile: the reference.
        told: of each new image, text by column.
    """
    found = _words(told)
    return {
        name: tuple(sorted(found[name].difference(known)))
        for name, known in profile.values.items()
        if found.get(name)
    }


def compare(profile: Profile, columns: Mapping[str, Sequence[float]]) -> tuple[Shift, ...]:
    """Compare new images with a profile.

    Args:
        profile: the reference.
        columns: by name one value an image; a column that either side lacks is not judged.

    Returns:
        A shift a column that both have, in the order of the profile.
    """
    shared = {name: columns[name] for name in profile.columns if columns.get(name)}
    return tuple(
        _shift(name, profile.columns[name], values, len(shared)) for name, values in shared.items()
    )


def _words(told: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    """The words of each column, without empty ones."""
    found: dict[str, set[str]] = {}
    for row in told:
        for column, value in row.items():
            found.setdefault(column, set()).update({value} - {""})
    return found


def _shift(name: str, reference: Column, new: Sequence[float], columns: int) -> Shift:
    return Shift(
        column=name,
        reference_median=float(np.median(reference.values)),
        new_median=float(np.median(new)),
        images=len(new),
        statistic=float(ks_2samp(reference.values, new, method="asymp").statistic),
        bound=_bound(reference, len(new), columns),
    )


def _bound(reference: Column, new: int, columns: int) -> float:
    independent = new * reference.independent / reference.images
    c = sqrt(-log(FALSE_ALARMS / columns / 2) / 2)
    return max(MATTERS, c * sqrt(1 / reference.independent + 1 / independent))
