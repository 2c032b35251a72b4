"""The Hierarchical Gating Module: a coarse probability map gates the encoder features of a U-Net.

The paper (Oh, Ko, Kwon, Kim, FDCRS 20(2), 2025, doi 10.23049/FDCRS.2025.20.2.157) publishes its
abstract only; this gate is our reconstruction. Its tie to the map (at the start g is the map) and
its residual form (a lesion that the map missed is dimmed, never erased) are both on purpose.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

GAMMA_START = 0.5
GAMMA_MAX = 0.9
_CLIP = 1e-3
_HIDDEN = 32


class HierarchicalGating(nn.Module):
    """Gates features at every scale by the coarse map, from the deepest scale to the finest.

    For scale l with features F_l and the map P resized by area to p_l:

        h_l  = relu(conv3x3[conv1x1(F_l), p_l, up(h_{l+1})])
        g_l  = sigmoid(logit(clip(p_l)) + 2 tanh(conv1x1(h_l)))
        F'_l = F_l * (1 + gamma_l * (2 g_l - 1))

    The last conv1x1 is 0 at the start, so g_l = p_l; gamma_l, one a channel, starts at 0.5 and
    is held within +-0.9, so that F'_l / F_l stays within [0.1, 1.9].
    """

    def __init__(self, channels: Sequence[int]) -> None:
        """Build for features of these channel counts, finest scale first."""
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(c, _HIDDEN, 1) for c in channels)
        self.mix = nn.ModuleList(
            nn.Conv2d(_HIDDEN + 1 + (0 if last else _HIDDEN), _HIDDEN, 3, padding=1)
            for last in (i == len(channels) - 1 for i in range(len(channels)))
        )
        self.correct = nn.ModuleList(_zero(nn.Conv2d(_HIDDEN, 1, 1)) for _ in channels)
        start = torch.atanh(torch.tensor(GAMMA_START / GAMMA_MAX))
        self.strength = nn.ParameterList(torch.full((1, c, 1, 1), float(start)) for c in channels)

    def gamma(self) -> list[Tensor]:
        """The strength of the gate by scale, each (1, C, 1, 1) in [-0.9, 0.9], finest first."""
        return [GAMMA_MAX * torch.tanh(s) for s in self.strength]

    def forward(
        self, features: Sequence[Tensor], coarse_mask_prob: Tensor
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Gate the features.

        Args:
            features: (B, C_l, H_l, W_l) float, finest scale first.
            coarse_mask_prob: (B, 1, H, W) in [0, 1]; H and W multiples of every scale's.

        Returns:
            The gated features, as they came, and the gates g_l, each (B, 1, H_l, W_l) in [0, 1].
        """
        gated: list[Tensor] = []
        gates: list[Tensor] = []
        hidden: Tensor | None = None
        gammas = self.gamma()
        for level in reversed(range(len(features))):
            feature = features[level]
            prob = area_resize(coarse_mask_prob, feature)
            parts = [self.reduce[level](feature), prob]
            if hidden is not None:
                parts.append(functional.interpolate(hidden, size=feature.shape[-2:]))
            hidden = torch.relu(self.mix[level](torch.cat(parts, dim=1)))
            tie = torch.logit(prob.float().clamp(_CLIP, 1 - _CLIP))
            gate = torch.sigmoid(tie + 2 * torch.tanh(self.correct[level](hidden)))
            gated.insert(0, feature * (1 + gammas[level] * (2 * gate - 1)).to(feature.dtype))
            gates.insert(0, gate)
        return gated, tuple(gates)


def area_resize(prob: Tensor, like: Tensor) -> Tensor:
    """A map (B, 1, H, W) at the scale of features (B, C, H / k, W / k): means of k x k cells."""
    return functional.avg_pool2d(prob, prob.shape[-1] // like.shape[-1])


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv
