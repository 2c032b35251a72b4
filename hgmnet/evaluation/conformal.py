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

    `least` is None, and the figures with it, if there are too few groups to promise anything.
    `groups`: number of groups that they were calibrated on. `coverage`: share of judged groups with
    the true class in the sets of all their images. `single`: share of judged images whose set is
    one class alone.
    """

    least: float | None
    groups: int
    coverage: Figure | None = None
    single: Figure | None = None


def least_probability(
    images: Iterable[Classified], miscoverage: float = MISCOVERAGE
) -> float | None:
    """Return the probability from which a class is in the set; None: too few groups."""
    scores: dict[str, float] = defaultdict(float)
    for one in images:
        scores[one.group] = max(scores[one.group], 1 - one.probs[one.label])
    rank = ceil((len(scores) + 1) * (1 - miscoverage))
    return 1 - sorted(scores.values())[rank - 1] if 0 < rank <= len(scores) else None


def conformal_sets(
    calibration: Sequence[Classified], judged: Sequence[Classified]
) -> ConformalSets | None:
    """Calibrate on one split, and measure on another with 95 % intervals; None without images."""
    if not calibration or not judged:
        return None
    least, count = least_probability(calibration), len({one.group for one in calibration})
    if least is None:
        return ConformalSets(None, count)
    whole: dict[str, bool] = {}
    for one in judged:
        whole[one.group] = whole.get(one.group, True) and one.probs[one.label] >= least
    single = [sum(prob >= least for prob in one.probs.values()) == 1 for one in judged]
    coverage = _share(list(whole), list(whole.values()))
    return ConformalSets(least, count, coverage, _share([one.group for one in judged], single))


def _share(groups: Sequence[str], values: Sequence[bool]) -> Figure:
    bootstrap = GroupBootstrap(groups, _DRAWS, _SEED)
    return bootstrap.figure(Mean(np.asarray(values, dtype=np.float64)), proportion=True)
