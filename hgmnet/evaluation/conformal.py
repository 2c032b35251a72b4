"""Sets of classes with a promised coverage: split conformal prediction, calibrated by groups.

Angelopoulos and Bates, A Gentle Introduction to Conformal Prediction, arXiv:2107.07511, section 1.
Images of one group are not exchangeable with one another, but groups are; so a group's score is
that of its worst image, and the promise holds for all images of a new group together.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from hgmnet.metrics.bootstrap import Figure, GroupBootstrap, Mean

MISCOVERAGE = 0.1
"""Largest share of groups that may have an image whose set lacks its class."""
_DRAWS, _SEED = 2000, 0


@dataclass(frozen=True)
class Classified:
    """One image: its group, its true class, and the calibrated probabilities by class."""

    group: str
    label: str
    probs: Mapping[str, float]


@dataclass(frozen=True)
class ConformalSets:
    """Sets of the classes whose probability is at least `least`.

    `groups`: number of groups that they were calibrated on. `coverage`: share of judged images
    whose set has the true class. `single`: share of those with one class alone.
    """

    least: float
    groups: int
    coverage: Figure
    single: Figure


def least_probability(images: Iterable[Classified], miscoverage: float = MISCOVERAGE) -> float:
    """Return the probability from which a class is in the set; 0: too few groups for a promise."""
    scores: dict[str, float] = defaultdict(float)
    for one in images:
        scores[one.group] = max(scores[one.group], 1 - one.probs[one.label])
    rank = ceil((len(scores) + 1) * (1 - miscoverage))
    return 1 - sorted(scores.values())[rank - 1] if 0 < rank <= len(scores) else 0.0


def conformal_sets(
    calibration: Sequence[Classified], judged: Sequence[Classified]
) -> ConformalSets | None:
    """Calibrate on one split, and measure on another with 95 % intervals; None without images."""
    if not calibration or not judged:
        return None
    least = least_probability(calibration)
    sets = [{name for name, prob in one.probs.items() if prob >= least} for one in judged]
    covered = [one.label in chosen for one, chosen in zip(judged, sets, strict=True)]
    single = [len(chosen) == 1 for chosen in sets]
    bootstrap = GroupBootstrap([one.group for one in judged], _DRAWS, _SEED)
    figures = (
        bootstrap.figure(Mean(np.asarray(values, dtype=np.float64)), proportion=True)
        for values in (covered, single)
    )
    return ConformalSets(least, len({one.group for one in calibration}), *figures)
