"""HGM-Net: two U-Nets in sequence; the first one's probability map gates the second one's features.

A reconstruction from the paper's abstract (see `hgmnet.models.gating`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from segmentation_models_pytorch.base.initialization import initialize_head
from torch import Tensor, nn
from torch.nn import functional

from hgmnet.config.model import Model
from hgmnet.models.decoder import MaskDecoder
from hgmnet.models.encoders import build_encoder
from hgmnet.models.gating import area_resize, build_gating

_RING = 5  # edge length, in cells, of the dilation that makes the ring around the lesion
_NO_MASK = -20.0  # logit of the empty mask of a model without segmentation


@dataclass(frozen=True)
class NetworkOutput:
    """Network output for a batch, before any sigmoid or softmax.

    `coarse_mask_logits`, `mask_logits`: (B, 1, H, W). Without a coarse net both are the fine net's;
    for classification alone they are constant, far below 0. `class_logits`: (B, classes), all 0 for
    segmentation alone. `gates`: (B, 1, H_l, W_l) in [0, 1], finest scale first; empty without a
    gate. `deep_mask_logits`: (B, 1, H / k, W / k) for k = 8, 4, 2, under deep supervision.
    """

    coarse_mask_logits: Tensor
    mask_logits: Tensor
    class_logits: Tensor
    gates: tuple[Tensor, ...]
    deep_mask_logits: tuple[Tensor, ...]


class HGMNet(nn.Module):
    """Segments the lesion, coarse then fine, and classifies the image, in one pass.

    `map_dropout.p`: in training, the probability that an image's map is 1/2 in the gates.
    """

    def __init__(self, model: Model, classes: int) -> None:
        """Build the network; ConfigError: no such encoder, or its weights are not available."""
        super().__init__()
        self.model, self.classes = model, classes
        own = model.coarse and not model.shared_encoder
        self.coarse_encoder = build_encoder(model) if own else None
        self.encoder = build_encoder(model)
        channels: Sequence[int] = self.encoder.out_channels  # type: ignore[assignment]
        self.coarse_decoder = MaskDecoder(channels, model, deep=False) if model.coarse else None
        self.gating = build_gating(model.gate, channels[1:])
        self.map_dropout = nn.Dropout(0.0)
        deep = model.deep_supervision
        self.decoder = MaskDecoder(channels, model, deep=deep) if model.segments else None
        self.classifier: nn.Sequential | None = None
        if model.classifies:
            pooled = nn.Linear(3 * sum(channels[-model.class_scales :]), classes)
            self.classifier = nn.Sequential(nn.Dropout(model.dropout), pooled)
            initialize_head(self.classifier)

    def encoders(self) -> list[nn.Module]:
        """The encoders: two, or one that is shared or without a coarse net."""
        return [part for part in (self.coarse_encoder, self.encoder) if part is not None]

    def forward(self, image: Tensor, coarse_mask_prob: Tensor | None = None) -> NetworkOutput:
        """Predict masks, class and gates of images (B, 1, H, W) float, normalised, divisible by 32.

        `coarse_mask_prob`: (B, 1, H, W) in [0, 1], used instead of the coarse net's map: the true
        mask or another image's map, to measure the map's effect.
        """
        image = image.expand(-1, 3 if self.model.input == "rgb" else 1, -1, -1)
        if self.decoder is None:
            return self._class_alone(image)
        coarse_features, coarse_mask_logits = self._coarse(image)
        prob = self._map(coarse_mask_logits, coarse_mask_prob, image)
        features, gates = self._gated(image, coarse_features, self._dropped(prob))
        mask_logits, deep = self.decoder(features)
        if coarse_mask_logits is None:
            coarse_mask_logits = mask_logits
            prob = self._map(mask_logits, coarse_mask_prob, image)
        class_logits = self._classify(features, prob)
        return NetworkOutput(coarse_mask_logits, mask_logits, class_logits, gates, deep)

    def _coarse(self, image: Tensor) -> tuple[list[Tensor] | None, Tensor | None]:
        if self.coarse_decoder is None:
            return None, None
        encoder = self.encoder if self.coarse_encoder is None else self.coarse_encoder
        features = encoder(image)
        return features, self.coarse_decoder(features)[0]

    def _map(self, logits: Tensor | None, given: Tensor | None, image: Tensor) -> Tensor:
        """Return the map P, (B, 1, H, W): given, predicted, or 1/2 without a coarse net."""
        if given is not None:
            return given
        if logits is None:
            return torch.full_like(image[:, :1], 0.5)
        prob = torch.sigmoid(logits)
        return prob.detach() if self.model.detach_coarse else prob

    def _dropped(self, prob: Tensor) -> Tensor:
        if not self.training:
            return prob
        kept = self.map_dropout(prob.new_ones(len(prob), 1, 1, 1))
        return torch.where(kept > 0, prob, 0.5)

    def _gated(
        self, image: Tensor, known: list[Tensor] | None, prob: Tensor
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Return the gated features of the fine net, the image first as in smp, and the gates."""
        if self.model.gate == "input":
            return self.encoder(image * prob), (prob,)
        shared = known is not None and self.model.shared_encoder
        first, *features = known if known is not None and shared else self.encoder(image)
        if self.gating is None:
            return [first, *features], ()
        gated, gates = self.gating(features, prob)
        return [first, *gated], gates

    def _classify(self, features: Sequence[Tensor], prob: Tensor) -> Tensor:
        if self.classifier is None:
            return prob.new_zeros(prob.shape[0], self.classes)  # len() would fix B in an export
        seen = features[-self.model.class_scales :]
        logits: Tensor = self.classifier(torch.cat([lesion_pool(f, prob) for f in seen], dim=1))
        return logits

    def _class_alone(self, image: Tensor) -> NetworkOutput:
        nothing = torch.full_like(image[:, :1], _NO_MASK)
        class_logits = self._classify(self.encoder(image), torch.zeros_like(nothing))
        return NetworkOutput(nothing, nothing, class_logits, (), ())


def lesion_pool(feature: Tensor, mask_prob: Tensor) -> Tensor:
    """Compute the features' means over the image, the lesion and the ring around it.

    A small constant makes the lesion's means tend to 0, not NaN, where its weight is 0.
    From (B, C, H / k, W / k) and (B, 1, H, W) in [0, 1] to (B, 3 C); the ring is two cells wide.
    """
    inside = area_resize(mask_prob, feature)
    around = functional.max_pool2d(inside, _RING, stride=1, padding=_RING // 2)
    ring = (around - inside).clamp(min=0)
    means = [feature.mean(dim=(2, 3))]
    for weight in (inside, ring):
        total = weight.sum(dim=(2, 3))
        means.append((feature * weight).sum(dim=(2, 3)) / (total + 0.1))
    return torch.cat(means, dim=1)
