"""What a trained HGM-Net says when its coarse map is replaced: what the map is worth to it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hgmnet.data.resample import Grey, Prob
from hgmnet.inference import Raw, infer, normalise
from hgmnet.models.hgmnet import HGMNet, Prediction
from hgmnet.models.spec import Spec

Map = Literal["own", "shuffled", "truth"]
"""The coarse net's own map, that of another image, or the true mask."""

_BATCH = 32


def infer_with(
    network: HGMNet,
    spec: Spec,
    square: Grey,
    truth: NDArray[np.uint8],
    given: Map,
    *,
    mirror: bool,
    scales: Sequence[float] = (),
) -> Raw:
    """Run the network over prepared images with another map in the coarse one's place.

    The map acts on the gates and on where the classifier pools. The coarse mask stays the coarse
    net's own.

    Args:
        network: in evaluation mode, on its device.
        spec: how it sees an image.
        square: (N, S, S) uint8.
        truth: (N, S, S) in {0, 1}.
        given: which map; `own` leaves all as it is. A shuffled one is of the next image in an order
            that is drawn with seed 0, so that none keeps its own.
        mirror: average with the mirrored image, its map mirrored too.
        scales: of further views, which tell of uncertainty alone; left out unless the map is `own`.
    """
    parts = [slice(start, start + _BATCH) for start in range(0, len(square), _BATCH)]
    near = scales if given == "own" else ()
    own = joined([infer(network, spec, square[part], mirror=mirror, scales=near) for part in parts])
    if given == "own":
        return own
    maps = truth.astype(np.float32) if given == "truth" else _shuffled(own.coarse_mask_prob)
    told = [_told(network, spec, square[part], maps[part], mirror) for part in parts]
    masks, logits, views = (np.concatenate(kind) for kind in zip(*told, strict=True))
    return Raw(masks, own.coarse_mask_prob, logits, views)


def joined(parts: list[Raw]) -> Raw:
    """Batches as one."""
    return Raw(
        np.concatenate([part.mask_prob for part in parts]),
        np.concatenate([part.coarse_mask_prob for part in parts]),
        np.concatenate([part.class_logits for part in parts]),
        np.concatenate([part.views for part in parts]),
    )


def _shuffled(maps: Prob) -> Prob:
    order = np.random.default_rng(0).permutation(len(maps))
    changed = np.empty_like(maps)
    changed[order] = maps[np.roll(order, -1)]
    return changed


def _told(
    network: HGMNet, spec: Spec, square: Grey, maps: Prob, mirror: bool
) -> tuple[Prob, NDArray[np.float32], NDArray[np.float16]]:
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    given = torch.from_numpy(np.ascontiguousarray(maps)).to(device).unsqueeze(1)
    with torch.inference_mode():
        out: Prediction = network(image, given)
        views, logits = [out.mask_logits.float().sigmoid()], out.class_logits.float()
        if mirror:
            out = network(image.flip(-1), given.flip(-1))
            views.append(out.mask_logits.float().sigmoid().flip(-1))
            logits = (logits + out.class_logits.float()) / 2
        seen = torch.cat(views, dim=1)
    mask = seen.mean(dim=1)
    return mask.cpu().numpy(), logits.cpu().numpy(), seen.half().cpu().numpy()
