"""Compare new images with a model's training images: a profile, and a distance per column.

Each numeric column is tested by the two-sample Kolmogorov-Smirnov distance D: the largest gap
between the fractions of reference and of new images at or below a value. A column has drifted if D
exceeds the larger of two bounds:

- chance: c · √(1/n + 1/m), c = √(-ln(a/2) / 2), Smirnov's asymptotic bound on D for samples of n
  and m from one distribution (N. Smirnov, Ann. Math. Stat. 19, 1948), at a = `FALSE_ALARMS` over
  the number of columns (Bonferroni). Images of one group are not independent, so n is the effective
  number (Σ g)² / Σ g² over the group sizes g: as if a group were one image repeated (Kish,
  Survey Sampling, 1965, chapter 5). The groups of new images are unknown; they are assumed to
  be like the reference's.
- `MATTERS`: a smaller distance is irrelevant, however many images show it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import log, sqrt

import numpy as np
from pydantic import Field
from scipy.stats import ks_2samp

from hgmnet.config.base import Fraction, Frozen, Natural, Positive
from hgmnet.config.model import Model
from hgmnet.data.image_files import PassedOver
from hgmnet.data.image_statistics import ImageStatistics
from hgmnet.inference.postprocess import Prediction
from hgmnet.models.spec import HashedNames, hash_name

FALSE_ALARMS = 0.01  # the highest rate of alarms, in any column, for images like the reference's
MATTERS = 0.1  # D of a normal distribution shifted by a quarter of its standard deviation
_KINDS = 50  # values of a text column; one with more identifies images, not kinds
_KEPT = 100  # values per column; omitting the others changes D by less than 1/100


class Column(Frozen):
    """A column of the reference.

    `values`: ascending; all of them, or 100 equally spaced quantiles. `images`: their number.
    `independent`: the effective number of images, at most `images`.
    """

    values: tuple[float, ...]
    images: Natural
    independent: Positive


class Profile(Frozen):
    """The distribution of a model's training images.

    `data`: the data set. `columns`: numeric ones. `values`: the train images' values of each text
    column of images.csv, hashed, without columns of more than 50.
    """

    data: str
    columns: dict[str, Column]
    values: dict[str, HashedNames] = Field(default_factory=dict)


class Shift(Frozen):
    """A column of new images compared with the reference; `images`: the number of new ones."""

    column: str
    reference_median: float
    new_median: float
    images: int
    statistic: Fraction
    bound: Positive

    @property
    def drifted(self) -> bool:
        """Whether the distance exceeds its bound."""
        return self.statistic > self.bound


class DriftReport(Frozen):
    """New images compared with the profile of a model.

    `data`: the model's data set. `model`: its identity. `source`: description of the new images.
    `unreadable`: names of files left out. `passed_over`: files that are no images, or masks, each
    with the reason. `drifted`: the columns beyond their bounds. `new_values`:
    values that the training images lack, by text column that both have.
    """

    data: str
    model: str
    source: str
    images: int
    unreadable: tuple[str, ...]
    columns: tuple[Shift, ...]
    drifted: tuple[str, ...]
    new_values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    passed_over: tuple[PassedOver, ...] = ()


def build_profile(
    data: str,
    *,
    statistics: Sequence[ImageStatistics],
    statistics_groups: Sequence[str],
    predictions: Iterable[Prediction],
    prediction_groups: Sequence[str],
    model: Model,
    values: Mapping[str, tuple[str, ...]],
) -> Profile:
    """Build the profile of a model: of its train images, and of its predictions on val.

    A model is overconfident on the images that it was fitted on, hence val. `values`: of the train
    images' text columns (`kinds`).
    """

    def columns(rows: Sequence[Mapping[str, float]], groups: Sequence[str]) -> dict[str, Column]:
        return {name: summarise(column, groups) for name, column in by_column(rows).items()}

    measured = columns([one.model_dump() for one in statistics], statistics_groups)
    predicted = [predicted_columns(one, model) for one in predictions]
    return Profile(
        data=data, columns=measured | columns(predicted, prediction_groups), values=dict(values)
    )


def predicted_columns(prediction: Prediction, model: Model) -> dict[str, float]:
    """Columns of a prediction: final lesion area as a fraction of the image; confidence.

    Columns of tasks that the model does not learn are omitted.
    """
    columns = {}
    if model.segments:
        columns["lesion_area"] = round(prediction.lesion_area / prediction.mask.size, 6)
    if model.classifies:
        columns["confidence"] = round(max(prediction.probs.values()), 6)
    return columns


def by_column(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Turn rows, all of the same columns, into columns; no rows make no columns."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def summarise(values: Sequence[float], groups: Sequence[str]) -> Column:
    """Make a column of the reference from one value and one group per image, at least one."""
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


def kinds(texts: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Values of each text column, sorted, without empty ones and columns of more than 50."""
    found = _words(texts).items()
    return {name: tuple(sorted(v)) for name, v in found if 0 < len(v) <= _KINDS}


def unknown(profile: Profile, texts: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Values of new images that are missing in the profile, by column that both have."""
    found = _words(texts)
    return {
        name: tuple(sorted(value for value in found[name] if hash_name(value) not in known))
        for name, known in profile.values.items()
        if found.get(name)
    }


def compare(profile: Profile, columns: Mapping[str, Sequence[float]]) -> tuple[Shift, ...]:
    """Compare new images, one value per image by column, with a profile.

    Returns:
        One shift per column that both have, in the order of the profile.
    """
    shared = {name: columns[name] for name in profile.columns if columns.get(name)}
    return tuple(
        _shift(name, profile.columns[name], values, len(shared)) for name, values in shared.items()
    )


def _words(texts: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    """Values of each text column, without empty ones."""
    found: dict[str, set[str]] = {}
    for row in texts:
        for column, value in row.items():
            found.setdefault(column, set()).update({value} - {""})
    return found


def _shift(name: str, reference: Column, new: Sequence[float], columns: int) -> Shift:
    independent = len(new) * reference.independent / reference.images
    c = sqrt(-log(FALSE_ALARMS / columns / 2) / 2)
    return Shift(
        column=name,
        reference_median=float(np.median(reference.values)),
        new_median=float(np.median(new)),
        images=len(new),
        statistic=float(ks_2samp(reference.values, new, method="asymp").statistic),
        bound=max(MATTERS, c * sqrt(1 / reference.independent + 1 / independent)),
    )
