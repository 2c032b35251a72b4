"""Probability maps and gates behind a prediction, and predictions with a replaced map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hgmnet.data.reader import ImageInput, read_grey
from hgmnet.data.resize import Grey, Prob, content_size, resize_to_input, resize_to_original
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.tta import forward_tta
from hgmnet.models.ensemble import Network, members
from hgmnet.models.hgmnet import NetworkOutput
from hgmnet.models.spec import Spec, normalise


@dataclass(frozen=True)
class ImageMaps:
    """Maps in [0, 1], float32, of one image at its original size, (H, W) each.

    `mask_prob`, `coarse_mask_prob`: lesion probability of the fine and of the coarse net, equal
    where there is no coarse net. `gates`: the gate of each scale, finest first; empty without
    gates. Of a batch at the network's input size, maps are (B, S, S) and a gate is (B, S_l, S_l).
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    gates: tuple[Prob, ...]


def maps(network: Network, spec: Spec, square: Grey, *, mirror: bool) -> ImageMaps:
    """Run the network over prepared images, (B, S, S) uint8, and return its maps and gates.

    `network`: in evaluation mode, on its device. `mirror`: average each map with the mirrored
    image's, as inference does.
    """
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    with torch.inference_mode():
        found = _forward(network, image)
        if mirror:
            mirrored = _forward(network, image.flip(-1))
            found = [(a + b.flip(-1)) / 2 for a, b in zip(found, mirrored, strict=True)]
    mask, coarse, *gates = (one.float().squeeze(1).cpu().numpy() for one in found)
    return ImageMaps(mask, coarse, tuple(gates))


def native_maps(predictor: TorchPredictor, images: Sequence[ImageInput]) -> list[ImageMaps]:
    """Return each image's maps, mirror-averaged as in prediction. Raises as `read_grey`."""
    return [_native(predictor, read_grey(image, f"image {i}")) for i, image in enumerate(images)]


def _native(predictor: TorchPredictor, grey: Grey) -> ImageMaps:
    spec = predictor.spec
    square = resize_to_input(grey, spec.prepare)[None]
    found = maps(predictor.network, spec, square, mirror=predictor.operating.mirror)
    mask, coarse, *gates = (
        resize_to_original(_whole(values[0], spec), grey.shape[0], grey.shape[1], spec.prepare)
        for values in (found.mask_prob, found.coarse_mask_prob, *found.gates)
    )
    return ImageMaps(mask, coarse, tuple(gates))


def spread(views: NDArray[np.float16]) -> Prob:
    """Range of the views (B, V, S, S) at each pixel: (B, S, S) in [0, 1], 0 for one view."""
    seen = views.astype(np.float32)
    return np.asarray(seen.max(axis=1) - seen.min(axis=1))


def cropped(square: Prob, height: int, width: int, spec: Spec) -> Prob:
    """Return the part of a map that the image covers, without the letterbox padding.

    `square`: (s, s), s divides the input size S. `height`, `width`: of the image, px.
    """
    rows, columns = content_size(height, width, spec.prepare)
    return resize_to_original(_whole(square, spec), rows, columns, spec.prepare)


def _whole(square: Prob, spec: Spec) -> Prob:
    """Upsample a map (s, s) to (S, S) by repeating its cells."""
    repeat = spec.prepare.side // len(square)
    return np.kron(square, np.ones((repeat, repeat), square.dtype))


def _forward(network: Network, image: Tensor) -> list[Tensor]:
    out = network(image)
    return [out.mask_logits.sigmoid(), out.coarse_mask_logits.sigmoid(), *out.gates]


Map = Literal["own", "shuffled", "truth"]
"""Which map replaces the coarse one: none, that of another image, or the true mask."""
_BATCH = 32


def infer_with(
    network: Network,
    spec: Spec,
    square: Grey,
    truth: NDArray[np.uint8],
    given: Map,
    *,
    mirror: bool,
    scales: Sequence[float] = (),
) -> RawPrediction:
    """Run the network over prepared images with another map instead of the coarse one.

    The map drives the gates and the classifier's pooling. The coarse mask output is unchanged.
    `network`: in evaluation mode, on its device. `square`: (N, S, S) uint8. `truth`: (N, S, S) in
    {0, 1}. `given`: `own` changes nothing, `shuffled` gives each image the map of another one, in
    an order drawn with seed 0. `mirror`: average with the mirrored image, its map mirrored too.
    `scales`: of further views, used for uncertainty only; ignored unless the map is `own`.
    """
    parts = [slice(start, start + _BATCH) for start in range(0, len(square), _BATCH)]
    near = scales if given == "own" else ()
    own = joined(
        [forward_tta(network, spec, square[part], mirror=mirror, scales=near) for part in parts]
    )
    if given == "own":
        return own
    maps = truth.astype(np.float32) if given == "truth" else _shuffled(own.coarse_mask_prob)
    outputs = [_outputs(network, spec, square[part], maps[part], mirror) for part in parts]
    masks, logits, views = (np.concatenate(kind) for kind in zip(*outputs, strict=True))
    return RawPrediction(masks, own.coarse_mask_prob, logits, views)


def joined(parts: list[RawPrediction]) -> RawPrediction:
    """Concatenate the predictions of several batches."""
    names = ("mask_prob", "coarse_mask_prob", "class_logits", "views")
    return RawPrediction(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _shuffled(maps: Prob) -> Prob:
    order = np.random.default_rng(0).permutation(len(maps))
    changed = np.empty_like(maps)
    changed[order] = maps[np.roll(order, -1)]
    return changed


def _outputs(
    network: Network, spec: Spec, square: Grey, maps: Prob, mirror: bool
) -> tuple[Prob, NDArray[np.float32], NDArray[np.float16]]:
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    given = torch.from_numpy(np.ascontiguousarray(maps)).to(device).unsqueeze(1)
    views, logits = [], []
    with torch.inference_mode():
        for member in members(network):
            for flip in (False, True) if mirror else (False,):
                seen = (image.flip(-1), given.flip(-1)) if flip else (image, given)
                out: NetworkOutput = member(*seen)
                mask = out.mask_logits.float().sigmoid()
                views.append(mask.flip(-1) if flip else mask)
                logits.append(out.class_logits.float())
        every, known = torch.cat(views, dim=1), torch.stack(logits).mean(dim=0)
    return every.mean(dim=1).cpu().numpy(), known.cpu().numpy(), every.half().cpu().numpy()
