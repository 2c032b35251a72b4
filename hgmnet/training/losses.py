"""The joint loss: Dice + cross-entropy on every mask, cross-entropy on the class."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hgmnet.config.model import Model
from hgmnet.config.training import LossWeights
from hgmnet.models.hgmnet import NetworkOutput

_SMOOTH = 1.0  # px: keeps the Dice term and its gradient defined where the truth is empty


def joint_loss(
    out: NetworkOutput, mask: Tensor, label: Tensor, weights: LossWeights, model: Model
) -> Tensor:
    """Return the training loss, a scalar: the sum of one term per task.

    `mask`: truth, (B, 1, H, W) float in {0, 1}. `label`: class index, (B,) int64. `weights`: of the
    other terms; the fine mask's is 1.
    """
    terms = []
    if model.segments:
        terms.append(mask_loss(out.mask_logits, mask))
    if model.deep_supervision:
        terms.append(weights.deep * deep_loss(out.deep_mask_logits, mask))
    if model.coarse:
        terms.append(weights.coarse * mask_loss(out.coarse_mask_logits, mask))
    if model.classifies:
        logits, smoothing = out.class_logits.float(), weights.label_smoothing
        classes = functional.cross_entropy(logits, label, label_smoothing=smoothing)
        terms.append(weights.classification * classes)
    return torch.stack(terms).sum()


def deep_loss(deep_mask_logits: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean mask loss of the deeper heads, each upsampled to full resolution; a scalar."""
    size = mask.shape[-2:]
    full = (functional.interpolate(d, size=size, mode="bilinear") for d in deep_mask_logits)
    return torch.stack([mask_loss(logits, mask) for logits in full]).mean()


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean over images of 1 - soft Dice, plus binary cross-entropy: a scalar.

    The soft Dice of Milletari et al. (V-Net, 2016) per image, without squares and with 1 px added
    to numerator and denominator: an empty truth penalises every predicted pixel. `logits`:
    (B, 1, H, W) float; `mask`: the same shape, in {0, 1}.
    """
    logits = logits.float()
    prob = torch.sigmoid(logits)
    overlap = (prob * mask).sum(dim=(1, 2, 3))
    total = prob.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    return (1 - dice).mean() + functional.binary_cross_entropy_with_logits(logits, mask)
