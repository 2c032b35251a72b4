"""The moving average of a network's weights and statistics, without a wait for the device."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from hgmnet.models.hgmnet import HGMNet, Prediction


class Average(nn.Module):
    """A copy of a network that trails it: average += (1 - decay) * (network - average).

    What torch's AveragedModel does, but that one asks the device for its counter in every step and
    averages the buffers one by one.
    """

    def __init__(self, network: HGMNet, decay: float) -> None:
        """Copy the network; `decay` in [0, 1)."""
        super().__init__()
        self.module = deepcopy(network).requires_grad_(requires_grad=False)
        self.decay = decay

    def forward(self, image: Tensor) -> Prediction:
        """What the averaged network says; see `HGMNet.forward`."""
        out: Prediction = self.module(image)
        return out

    @torch.no_grad()
    def update(self, network: HGMNet, step: int) -> None:
        """Move towards the network, or become it in the first step; counters are taken over.

        Args:
            network: of the same shape, on the same device.
            step: number of optimiser steps done, from 1 on.
        """
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        share = 1.0 if step == 1 else 1 - self.decay
        torch._foreach_lerp_([own for own, _ in moving], [new for _, new in moving], share)
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_copy_([own for own, _ in counters], [new for _, new in counters])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
