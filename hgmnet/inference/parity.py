"""Agreement of two ways to run a model, and the loss in scores of the less precise one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hgmnet.data.resize import Mask
from hgmnet.inference.postprocess import Prediction
from hgmnet.metrics.segmentation import count_pixels, dice


@dataclass(frozen=True)
class Parity:
    """Agreement of two ways to run a model on `images` images.

    `prob_gap`: largest difference of a class probability. `mask_agreement`: smallest fraction of
    an image's pixels with equal masks, over the fine net's masks and the final ones.
    """

    images: int
    prob_gap: float
    mask_agreement: float

    @property
    def holds(self) -> bool:
        """Whether probabilities agree within 1e-4, and masks on 99.9 % of each image's pixels."""
        return self.prob_gap <= 1e-4 and self.mask_agreement >= 0.999

    def __str__(self) -> str:
        """Format as text."""
        return (
            f"on {self.images} images probabilities differ by {self.prob_gap:.1e} at most, and "
            f"{self.mask_agreement:.3%} of an image's mask is the same at least"
        )


@dataclass(frozen=True)
class Loss:
    """Loss in scores of the second way to run a model, compared with the first.

    `before`, `after`: lesion Dice and accuracy of the first and of the second way, in [0, 1]; NaN
    where the model or the images have none.
    """

    images: int
    lesions: int
    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def lesion_dice(self) -> float:
        """Loss in lesion Dice of the fine net's masks."""
        return self.before[0] - self.after[0]

    @property
    def accuracy(self) -> float:
        """Loss in accuracy of the most probable class."""
        return self.before[1] - self.after[1]

    def within(self, dice_bound: float, accuracy_bound: float) -> bool:
        """Whether neither loss exceeds its bound; a NaN is no loss."""
        return not (self.lesion_dice > dice_bound or self.accuracy > accuracy_bound)

    def __str__(self) -> str:
        """Format as text."""
        pairs = zip(("lesion Dice", "accuracy"), self.before, self.after, strict=True)
        parts = [f"{n} {b:.4f} instead of {a:.4f}" for n, a, b in pairs if not np.isnan(a)]
        return f"on {self.images} images, {self.lesions} with a lesion: {', '.join(parts)}"


def parity(first: Sequence[Prediction], second: Sequence[Prediction]) -> Parity:
    """Compare the predictions of two ways to run a model on the same images, at least one."""
    pairs = list(zip(first, second, strict=True))
    gaps = [abs(a.probs[name] - b.probs[name]) for a, b in pairs for name in a.probs]
    agreements = [
        float((one == other).mean())
        for a, b in pairs
        for one, other in ((a.mask, b.mask), (a.raw_mask, b.raw_mask))
    ]
    return Parity(len(pairs), max(gaps), min(agreements))


def loss(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    truth: Sequence[Mask],
    labels: Sequence[str],
) -> Loss:
    """Compare the scores of both predictions on images with these masks and class labels."""
    lesions = sum(bool(mask.any()) for mask in truth)
    before, after = _figures(first, truth, labels), _figures(second, truth, labels)
    return Loss(len(truth), lesions, before, after)


def _figures(
    findings: Sequence[Prediction], truth: Sequence[Mask], labels: Sequence[str]
) -> tuple[float, float]:
    """Return lesion Dice and accuracy; NaN without a lesion, or without a classifier."""
    pairs = zip(findings, truth, strict=True)
    counts = [count_pixels(one.raw_mask, mask)[:3] for one, mask in pairs if mask.any()]
    classified = [one.predicted in one.probs for one in findings]
    right = [one.predicted == label for one, label in zip(findings, labels, strict=True)]
    accuracy = float(np.mean(right)) if all(classified) else float("nan")
    if not counts:
        return float("nan"), accuracy
    scores: NDArray[np.float64] = dice(*np.array(counts).T)
    return float(scores.mean()), accuracy
