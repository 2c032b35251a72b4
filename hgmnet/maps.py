"""What lies behind an answer, to be looked at: probability maps and gates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hgmnet.data.resample import Grey, Prob, placed, unfit
from hgmnet.inference import normalise
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import Spec


@dataclass(frozen=True)
class Maps:
    """Of a batch, on the square the network sees.

    `mask_prob`, `coarse_mask_prob`: (B, S, S) float32 in [0, 1], the same where there is no coarse
    net. `gates`: (B, S_l, S_l) float32 in [0, 1] by scale, finest first; none without a gate.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    gates: tuple[Prob, ...]


def maps(network: HGMNet, spec: Spec, square: Grey, *, mirror: bool) -> Maps:
    """Run the network over prepared images and keep what it goes by.

    Args:
        network: in evaluation mode, on its device.
        spec: how it sees an image.
        square: (B, S, S) uint8.
        mirror: average each map with the mirrored image's, as inference does.
    """
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    with torch.inference_mode():
        found = _forward(network, image)
        if mirror:
            mirrored = _forward(network, image.flip(-1))
            found = [(a + b.flip(-1)) / 2 for a, b in zip(found, mirrored, strict=True)]
    mask, coarse, *gates = (one.float().squeeze(1).cpu().numpy() for one in found)
    return Maps(mask, coarse, tuple(gates))


def spread(views: NDArray[np.float16]) -> Prob:
    """How far the views of an image differ at each pixel: their largest value minus their least.

    Args:
        views: mask probabilities by view, (B, V, S, S), as `hgmnet.inference.Raw` has them.

    Returns:
        (B, S, S) in [0, 1]; 0 where there is one view alone.
    """
    seen = views.astype(np.float32)
    return np.asarray(seen.max(axis=1) - seen.min(axis=1))


def cropped(square: Prob, height: int, width: int, spec: Spec) -> Prob:
    """The part of a map that an image lies on, without what letterboxing puts around it.

    Args:
        square: (s, s), of the whole square; s divides the side.
        height: of the image, px.
        width: of the image, px.
        spec: how the network saw it.
    """
    repeat = spec.prepare.side // len(square)
    full = np.kron(square, np.ones((repeat, repeat), square.dtype))
    return unfit(full, *placed(height, width, spec.prepare), spec.prepare)


def _forward(network: HGMNet, image: Tensor) -> list[Tensor]:
    out = network(image)
    return [out.mask_logits.sigmoid(), out.coarse_mask_logits.sigmoid(), *out.gates]
