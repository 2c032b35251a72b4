"""HGM-Net: two U-Nets in a row; the first one's probability map gates the second one's features.

A reconstruction from the paper's abstract (see `hgmnet.models.gating`).
"""

import warnings
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional

from hgmnet.config import Model
from hgmnet.errors import ConfigError
from hgmnet.models.gating import HierarchicalGating, area_resize
from hgmnet.models.geometry import DEPTH

_RING = 5  # side of the dilation that makes the ring around the lesion, in cells of the deepest map


@dataclass(frozen=True)
class Prediction:
    """What the network says of a batch, before any sigmoid or softmax.

    `coarse_mask_logits`, `mask_logits`: (B, 1, H, W). `class_logits`: (B, classes).
    `gates`: (B, 1, H_l, W_l) in [0, 1], finest scale first; empty where there is no gate.
    """

    coarse_mask_logits: Tensor
    mask_logits: Tensor
    class_logits: Tensor
    gates: tuple[Tensor, ...]


class HGMNet(nn.Module):
    """Segments the lesion, coarse then fine, and classifies the image, in one pass."""

    def __init__(self, model: Model, classes: int) -> None:
        """Build the network.

        Raises:
            ConfigError: there is no such encoder, or its weights can't be had.
        """
        super().__init__()
        self.coarse_encoder = build_encoder(model)
        self.coarse_decoder = _decoder(self.coarse_encoder, model)
        self.coarse_head = SegmentationHead(model.decoder_channels[-1], 1)
        self.encoder = build_encoder(model)
        channels: list[int] = [*self.encoder.out_channels][1:]  # type: ignore[misc]
        self.gating = HierarchicalGating(channels) if model.gate == "tied" else None
        self.decoder = _decoder(self.encoder, model)
        self.head = SegmentationHead(model.decoder_channels[-1], 1)
        self.classifier = nn.Sequential(
            nn.Dropout(model.dropout), nn.Linear(3 * channels[-1], classes)
        )
        self.detach_coarse = model.detach_coarse
        for module in (self.coarse_head, self.head, self.classifier):
            initialize_head(module)

    def forward(self, image: Tensor) -> Prediction:
        """Predict.

        Args:
            image: (B, 1, H, W) float, normalised, H and W divisible by 32.
        """
        coarse_mask_logits = self.coarse_head(self.coarse_decoder(self.coarse_encoder(image)))
        prob = torch.sigmoid(coarse_mask_logits)
        if self.detach_coarse:
            prob = prob.detach()

        first, *features = self.encoder(image)
        gates: tuple[Tensor, ...] = ()
        if self.gating is not None:
            features, gates = self.gating(features, prob)

        mask_logits = self.head(self.decoder([first, *features]))
        class_logits = self.classifier(_lesion_pool(features[-1], prob))
        return Prediction(coarse_mask_logits, mask_logits, class_logits, gates)


def build_encoder(model: Model) -> nn.Module:
    """The encoder that `model` names, for one grey channel.

    Raises:
        ConfigError: there is no such encoder, or its ImageNet weights can't be had.
    """
    weights = None if model.encoder_weights == "none" else model.encoder_weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            encoder: nn.Module = smp.encoders.get_encoder(
                model.encoder, in_channels=1, depth=DEPTH, weights=weights
            )
    except (KeyError, RuntimeError, ValueError) as error:
        if "Wrong pretrained weights" in str(error):
            raise ConfigError(
                f"model.encoder_weights: there are no {weights} weights of `{model.encoder}`; "
                "set it to none, or choose another encoder"
            ) from None
        if weights is not None and "nknown model" not in str(error) and not _wrong_name(error):
            raise _no_weights(model, error) from None
        msg = (
            f"model.encoder: there is no `{model.encoder}` with 5 scales in "
            "segmentation-models-pytorch; try resnet18, resnet101, efficientnet-b0 or mobilenet_v2"
        )
        raise ConfigError(msg) from None
    except OSError as error:  # what the hub raises without a network
        raise _no_weights(model, error) from None
    return encoder


def _wrong_name(error: Exception) -> bool:
    return "Wrong encoder name" in str(error)


def _no_weights(model: Model, error: Exception) -> ConfigError:
    return ConfigError(
        f"model.encoder_weights: ImageNet weights of `{model.encoder}` could not be had from their "
        f"hub ({type(error).__name__}); connect to the network once, or set encoder_weights: none"
    )


def _decoder(encoder: nn.Module, model: Model) -> UnetDecoder:
    decoder = UnetDecoder(encoder.out_channels, model.decoder_channels, n_blocks=DEPTH)
    initialize_decoder(decoder)
    return decoder


def _lesion_pool(feature: Tensor, mask_prob: Tensor) -> Tensor:
    """Means of the deepest features over the image, the lesion and the ring around it: (B, 3 C).

    Where the lesion's weight is nothing, the small constant makes its means tend to 0, not to NaN.
    """
    inside = area_resize(mask_prob, feature)
    around = functional.max_pool2d(inside, _RING, stride=1, padding=_RING // 2)
    ring = (around - inside).clamp(min=0)
    means = [feature.mean(dim=(2, 3))]
    for weight in (inside, ring):
        total = weight.sum(dim=(2, 3))
        means.append((feature * weight).sum(dim=(2, 3)) / (total + 0.1))
    return torch.cat(means, dim=1)
