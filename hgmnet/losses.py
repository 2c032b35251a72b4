"""The joint loss: Dice + cross-entropy on both masks, cross-entropy on the class."""

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.config import LossWeights
from hgmnet.models.hgmnet import Prediction

_SMOOTH = 1.0  # px: keeps the Dice term defined, and its gradient alive, where the truth is empty


def joint_loss(out: Prediction, mask: Tensor, label: Tensor, weights: LossWeights) -> Tensor:
    """The training loss, a scalar.

    Args:
        out: what the network said.
        mask: truth, (B, 1, H, W) float in {0, 1}.
        label: class index, (B,) int64.
        weights: of the coarse mask and the class, beside the fine mask's 1.
    """
    fine = mask_loss(out.mask_logits, mask)
    coarse = mask_loss(out.coarse_mask_logits, mask)
    classes = functional.cross_entropy(
        out.class_logits.float(), label, label_smoothing=weights.label_smoothing
    )
    return fine + weights.coarse * coarse + weights.classification * classes


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean over images of 1 - soft Dice, plus binary cross-entropy: a scalar.

    The soft Dice of Milletari et al. (V-Net, 2016) per image, with squares left out and 1 px added
    above and below: an empty truth costs what is predicted on it.

    Args:
        logits: (B, 1, H, W) float.
        mask: (B, 1, H, W) float in {0, 1}.
    """
    logits = logits.float()
    prob = torch.sigmoid(logits)
    overlap = (prob * mask).sum(dim=(1, 2, 3))
    total = prob.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    return (1 - dice).mean() + functional.binary_cross_entropy_with_logits(logits, mask)
