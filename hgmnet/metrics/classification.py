"""Scores of classes and their probabilities, as statistics (`hgmnet.metrics.bootstrap.Statistic`).

Each is built from one value per row, (N,), and takes weights, (draws, N); it returns (draws,), NaN
where it is undefined.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hgmnet.metrics.bootstrap import Values, divide

Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BalancedAccuracy:
    """Mean sensitivity over the classes in the rows; NaN for a draw without one of them."""

    label: Indices
    predicted: Indices

    def __call__(self, weights: Values) -> Values:
        """Scores, (draws,), for weights (draws, N)."""
        right = self.label == self.predicted
        shares = [
            divide(weights @ (of * right).astype(float), weights @ of.astype(float))
            for of in (self.label == c for c in np.unique(self.label))
        ]
        return np.asarray(np.mean(shares, axis=0))


@dataclass(frozen=True, eq=False)
class MacroF1:
    """Mean over the classes in truth or prediction of 2 tp / (2 tp + fp + fn)."""

    label: Indices
    predicted: Indices
    classes: int

    def __call__(self, weights: Values) -> Values:
        """Scores, (draws,), for weights (draws, N); a class missing in a draw is left out."""
        scores = []
        for c in range(self.classes):
            of, said = (self.label == c), (self.predicted == c)
            both = weights @ (of & said).astype(float)
            scores.append(divide(2 * both, weights @ (of.astype(float) + said)))
        known = np.isfinite(scores)
        return divide(np.where(known, scores, 0).sum(axis=0), known.sum(axis=0).astype(float))


class _Ranked:
    """Positives and negatives by descending score, for cumulative sums from the top."""

    def __init__(self, positive: Bools, score: Values) -> None:
        falling = np.argsort(-score, kind="stable")
        truth = positive[falling]
        self.positives, self.negatives = falling[truth], falling[~truth]
        self.high, self.low = -score[self.positives], -score[self.negatives]

    def from_top(
        self, weights: Values, *, negatives: bool, side: Literal["left", "right"]
    ) -> Values:
        """Weight of the rows above each positive, (draws, positives); `side` right: and ties."""
        rows, scores = (self.negatives, self.low) if negatives else (self.positives, self.high)
        total = np.zeros((len(weights), len(rows) + 1))
        np.cumsum(weights[:, rows], axis=1, out=total[:, 1:])
        sums: Values = total[:, np.searchsorted(scores, self.high, side=side)]
        return sums


class Auroc(_Ranked):
    """Area under the ROC curve: how often a positive outranks a negative, ties counted half."""

    def __call__(self, weights: Values) -> Values:
        """Areas, (draws,), for weights (draws, N)."""
        positive = weights[:, self.positives]
        above = sum(self.from_top(weights, negatives=True, side=s) for s in ("left", "right"))
        lost = (positive * above).sum(axis=1) / 2
        pairs = positive.sum(axis=1) * weights[:, self.negatives].sum(axis=1)
        return 1 - divide(lost, pairs)


class AveragePrecision(_Ranked):
    """Sum over the thresholds of precision times the gain in recall, without interpolation.

    As scikit-learn's `average_precision_score`.
    """

    def __call__(self, weights: Values) -> Values:
        """Average precisions, (draws,), for weights (draws, N)."""
        positive = weights[:, self.positives]
        found = self.from_top(weights, negatives=False, side="right")
        precision = divide(found, found + self.from_top(weights, negatives=True, side="right"))
        return divide(np.nansum(precision * positive, axis=1), positive.sum(axis=1))


@dataclass(frozen=True, eq=False)
class CalibrationError:
    """Mean gap between confidence and accuracy over ten equal bins, weighted by their size.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 3.
    """

    correct: Bools
    confidence: Values
    bins: int = 10

    def __call__(self, weights: Values) -> Values:
        """Errors, (draws,), for weights (draws, N)."""
        index = np.clip((self.confidence * self.bins).astype(int), 0, self.bins - 1)
        gaps = np.zeros((len(index), self.bins))
        gaps[np.arange(len(index)), index] = self.correct - self.confidence
        return divide(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def brier(label: Indices, probs: Values) -> Values:
    """Squared distance of each row's probabilities, (N, C), from its truth; (N,) in [0, 2].

    Brier, Monthly Weather Review 78, 1950, eq. 2.
    """
    truth = np.eye(probs.shape[1])[label]
    return np.asarray(((probs - truth) ** 2).sum(axis=1))
