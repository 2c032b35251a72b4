"""Gates: how the coarse net's probability map acts on the fine net's features.

`tied` is HGM-Net's Hierarchical Gating Module. The paper (Oh, Ko, Kwon, Kim, FDCRS 20(2), 2025,
doi 10.23049/FDCRS.2025.20.2.157) publishes its abstract only; this gate is our reconstruction. Its
tie to the map (initially g is the map) and its residual form (a lesion that the map missed is
dimmed, never erased) are both on purpose. The others are its comparisons:

    free         the same module without the tie; strength 0 initially
    self         the same module with the map 1/2 everywhere: the effect of the module alone
    multiply     F' = F p
    reverse      F' = F (1 - p)                      Fan et al., PraNet, MICCAI 2020
    uncertainty  F' = F (1 + 1 - |p - .5| / .5)      Zhang et al., ACSNet, MICCAI 2020
    input        the fine net's input is image * P   Jha et al., DoubleU-Net, CBMS 2020
    none         the fine net does not use the map
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hgmnet.config.model import Gates

GAMMA_START = 0.5
GAMMA_MAX = 0.9
_CLIP = 1e-3
_HIDDEN = 32

Gated = tuple[list[Tensor], tuple[Tensor, ...]]
"""Gated features, and the gates by scale, each (B, 1, H_l, W_l) in [0, 1]; finest first."""


def build_gating(form: Gates, channels: Sequence[int]) -> "HierarchicalGating | FixedGating | None":
    """Build the module for a form of gate; None if the features stay unchanged."""
    if form in {"tied", "free", "self"}:
        return HierarchicalGating(channels, form)
    return FixedGating(form) if form in {"multiply", "reverse", "uncertainty"} else None


class HierarchicalGating(nn.Module):
    """Gates features at every scale by the coarse map, from the deepest scale to the finest.

    For scale l with features F_l and the map P resized by area to p_l:

        h_l  = relu(conv3x3[conv1x1(F_l), p_l, up(h_{l+1})])
        g_l  = sigmoid(logit(clip(p_l)) + 2 tanh(conv1x1(h_l)))
        F'_l = F_l * (1 + gamma_l * (2 g_l - 1))

    The last conv1x1 is initially 0, so g_l = p_l; gamma_l, one per channel, starts at 0.5 and is
    limited to +-0.9, so that F'_l / F_l stays within [0.1, 1.9]. `free` omits the logit and starts
    with a random conv1x1 and gamma 0; `self` uses 1/2 instead of p_l.
    """

    def __init__(self, channels: Sequence[int], form: Gates = "tied") -> None:
        """Build for features with these channel counts, finest scale first."""
        super().__init__()
        self.form = form
        self.reduce = nn.ModuleList(nn.Conv2d(c, _HIDDEN, 1) for c in channels)
        self.mix = nn.ModuleList(
            nn.Conv2d(_HIDDEN + 1 + (0 if last else _HIDDEN), _HIDDEN, 3, padding=1)
            for last in (i == len(channels) - 1 for i in range(len(channels)))
        )
        correct = (nn.Conv2d(_HIDDEN, 1, 1) for _ in channels)
        self.correct = nn.ModuleList(c if form == "free" else _zero(c) for c in correct)
        start = 0.0 if form == "free" else float(torch.atanh(torch.tensor(GAMMA_START / GAMMA_MAX)))
        self.strength = nn.ParameterList(torch.full((1, c, 1, 1), start) for c in channels)

    def gamma(self) -> list[Tensor]:
        """Strength of the gate by scale, each (1, C, 1, 1) in [-0.9, 0.9], finest first."""
        return [GAMMA_MAX * torch.tanh(s) for s in self.strength]

    def forward(self, features: Sequence[Tensor], coarse_mask_prob: Tensor) -> Gated:
        """Gate features, (B, C_l, H_l, W_l) float, finest scale first.

        `coarse_mask_prob`: (B, 1, H, W) in [0, 1]; H and W are multiples of every scale's.
        """
        gated: list[Tensor] = []
        gates: list[Tensor] = []
        hidden: Tensor | None = None
        gammas = self.gamma()
        if self.form == "self":
            coarse_mask_prob = torch.full_like(coarse_mask_prob, 0.5)
        for level in reversed(range(len(features))):
            feature = features[level]
            prob = area_resize(coarse_mask_prob, feature)
            parts = [self.reduce[level](feature), prob]
            if hidden is not None:
                parts.append(functional.interpolate(hidden, size=feature.shape[-2:]))
            hidden = torch.relu(self.mix[level](torch.cat(parts, dim=1)))
            gate = torch.sigmoid(self._tie(prob) + 2 * torch.tanh(self.correct[level](hidden)))
            gated.insert(0, feature * (1 + gammas[level] * (2 * gate - 1)).to(feature.dtype))
            gates.insert(0, gate)
        return gated, tuple(gates)

    def _tie(self, prob: Tensor) -> Tensor | float:
        return 0.0 if self.form == "free" else torch.logit(prob.float().clamp(_CLIP, 1 - _CLIP))


class FixedGating(nn.Module):
    """Weights features by a fixed function of the coarse map, without parameters."""

    def __init__(self, form: Gates) -> None:
        super().__init__()
        self.form = form

    def forward(self, features: Sequence[Tensor], coarse_mask_prob: Tensor) -> Gated:
        """Gate features as `HierarchicalGating.forward`."""
        gates = [self._weight(area_resize(coarse_mask_prob, feature)) for feature in features]
        kept = 1 if self.form == "uncertainty" else 0
        gated = [f * (kept + g).to(f.dtype) for f, g in zip(features, gates, strict=True)]
        return gated, tuple(gates)

    def _weight(self, prob: Tensor) -> Tensor:
        if self.form == "uncertainty":
            return 1 - (prob - 0.5).abs() / 0.5
        return 1 - prob if self.form == "reverse" else prob


def area_resize(prob: Tensor, like: Tensor) -> Tensor:
    """Resize a map (B, 1, H, W) to features (B, C, H / k, W / k) by the means of k x k cells."""
    return functional.avg_pool2d(prob, prob.shape[-1] // like.shape[-1])


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv
