"""Agreement of two ways to run a model, and the loss in figures of a less precise one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hgmnet.data.resize import Mask
from hgmnet.inference.postprocess import Prediction
from hgmnet.metrics.segmentation import count_pixels, dice

PROB_TOLERANCE = 1e-4
MASK_AGREEMENT = 0.999


@dataclass(frozen=True)
class Parity:
    """Agreement of two ways to run a model on `images` images.

    `prob_gap`: largest difference in a class probability. `mask_agreement`: smallest fraction of an
    image's pixels on which the fine net's masks, or the masks served, are equal.
    """

    images: int
    prob_gap: float
    mask_agreement: float

    @property
    def holds(self) -> bool:
        """Whether `prob_gap` is within 1e-4 and `mask_agreement` at least 99.9 %."""
        return self.prob_gap <= PROB_TOLERANCE and self.mask_agreement >= MASK_AGREEMENT

    def __str__(self) -> str:
        """In words."""
        return (
            f"on {self.images} images probabilities differ by {self.prob_gap:.1e} at most, and "
            f"{self.mask_agreement:.3%} of an image's mask is the same at least"
        )


@dataclass(frozen=True)
class Loss:
    """Loss of the second way to run a model compared with the first, on the same images.

    `lesion_dice`, `accuracy`: first minus second; NaN if the model or the images have none.
    `before`, `after`: (lesion Dice, accuracy) of the first and of the second.
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
        """Loss in accuracy of the likeliest class."""
        return self.before[1] - self.after[1]

    def within(self, dice_bound: float, accuracy_bound: float) -> bool:
        """Whether both losses are within their bounds; an absent figure counts as no loss."""
        return not (self.lesion_dice > dice_bound or self.accuracy > accuracy_bound)

    def __str__(self) -> str:
        """In words."""
        parts = (
            f"{name} {other:.4f} instead of {one:.4f}"
            for name, one, other in zip(
                ("lesion Dice", "accuracy"), self.before, self.after, strict=True
            )
            if not np.isnan(one)
        )
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
    """Compute the loss of the second way to run a model.

    Args:
        first: predictions of the first way, one per image.
        second: predictions of the second way.
        truth: true mask of each image, (H, W) bool, of the predicted masks' size.
        labels: true class of each image.
    """
    lesions = sum(bool(mask.any()) for mask in truth)
    before, after = _figures(first, truth, labels), _figures(second, truth, labels)
    return Loss(len(truth), lesions, before, after)


def _figures(
    findings: Sequence[Prediction], truth: Sequence[Mask], labels: Sequence[str]
) -> tuple[float, float]:
    """Return lesion Dice and accuracy; NaN without a lesion, or without a predicted class."""
    counts = [
        count_pixels(finding.raw_mask, mask)[:3]
        for finding, mask in zip(findings, truth, strict=True)
        if mask.any()
    ]
    told = [one.predicted in one.probs for one in findings]
    right = [one.predicted == label for one, label in zip(findings, labels, strict=True)]
    accuracy = float(np.mean(right)) if all(told) else float("nan")
    if not counts:
        return float("nan"), accuracy
    scores: NDArray[np.float64] = dice(*np.array(counts).T)
    return float(scores.mean()), accuracy
