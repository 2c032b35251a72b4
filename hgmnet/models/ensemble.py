"""Ensemble of networks that were trained alike with several seeds: one network, with their mean."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hgmnet.models.hgmnet import HGMNet, NetworkOutput


class Ensemble(nn.Module):
    """Outputs the means of its members' mask probabilities, gates and class logits.

    Deep ensembles: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017. Logits are averaged, not
    probabilities, as over an image and its mirrored one; calibration fits their temperature.
    """

    def __init__(self, members: Sequence[HGMNet]) -> None:
        """Take networks of one architecture."""
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor, coarse_mask_prob: Tensor | None = None) -> NetworkOutput:
        """Run every member as `HGMNet.forward`."""
        outputs: list[NetworkOutput] = [one(image, coarse_mask_prob) for one in self.members]
        gates = zip(*(out.gates for out in outputs), strict=True)
        deep = zip(*(out.deep_mask_logits for out in outputs), strict=True)
        return NetworkOutput(
            _mean_logit([out.coarse_mask_logits for out in outputs]),
            _mean_logit([out.mask_logits for out in outputs]),
            torch.stack([out.class_logits for out in outputs]).mean(dim=0),
            tuple(torch.stack(scale).mean(dim=0) for scale in gates),
            tuple(_mean_logit(scale) for scale in deep),
        )


Network = HGMNet | Ensemble


def members(network: Network) -> list[HGMNet]:
    """List the networks of an ensemble, or the network alone."""
    return [*network.members] if isinstance(network, Ensemble) else [network]


def joined(networks: Sequence[HGMNet]) -> Network:
    """Make an ensemble of several networks; one alone stays itself."""
    return Ensemble(networks) if len(networks) > 1 else networks[0]


def _mean_logit(logits: Sequence[Tensor]) -> Tensor:
    return torch.logit(torch.stack(list(logits)).float().sigmoid().mean(dim=0), eps=1e-6)
