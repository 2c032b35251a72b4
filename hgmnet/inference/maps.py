"""Probability maps and gates behind a prediction, and predictions with a replaced map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hgmnet.data.dicom import ImageInput, read_grey
from hgmnet.data.resize import Grey, Prob, content_size, resize_to_input, resize_to_original
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.tta import forward_tta
from hgmnet.models.hgmnet import HGMNet, NetworkOutput
from hgmnet.models.spec import Spec, normalise


@dataclass(frozen=True)
class Maps:
    """Maps of a batch at the network's input size.

    `mask_prob`, `coarse_mask_prob`: (B, S, S) float32 in [0, 1], equal without a coarse net.
    `gates`: (B, S_l, S_l) float32 in [0, 1] by scale, finest first; empty without a gate.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    gates: tuple[Prob, ...]


def maps(network: HGMNet, spec: Spec, square: Grey, *, mirror: bool) -> Maps:
    """Run the network over prepared images and return probability maps and gates.

    Args:
        network: in evaluation mode, on its device.
        spec: spec with the normalisation.
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


@dataclass(frozen=True)
class ImageMaps:
    """Maps of one image at native size, each (H, W) float32 in [0, 1].

    `mask_prob`, `coarse_mask_prob`: lesion probability of the fine and of the coarse net. `gates`:
    values of the gate by scale, finest first; empty without a gate.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    gates: tuple[Prob, ...]


def native_maps(predictor: TorchPredictor, images: Sequence[ImageInput]) -> list[ImageMaps]:
    """Compute the maps of each image, averaged with the mirrored image's if predictions are.

    Raises:
        InvalidDataError: an image can't be read.
    """
    return [_native(predictor, read_grey(image, f"image {i}")) for i, image in enumerate(images)]


def _native(predictor: TorchPredictor, grey: Grey) -> ImageMaps:
    spec = predictor.spec
    square = resize_to_input(grey, spec.prepare)[None]
    found = maps(predictor.network, spec, square, mirror=predictor.operating.mirror)

    height, width = grey.shape

    def native(values: Prob) -> Prob:
        return resize_to_original(_whole(values[0], spec), height, width, spec.prepare)

    return ImageMaps(
        native(found.mask_prob), native(found.coarse_mask_prob), tuple(map(native, found.gates))
    )


def spread(views: NDArray[np.float16]) -> Prob:
    """Difference between the largest and the smallest value of the views at each pixel.

    Args:
        views: mask probabilities by view, (B, V, S, S), as in `RawPrediction`.

    Returns:
        (B, S, S) in [0, 1]; 0 with a single view.
    """
    seen = views.astype(np.float32)
    return np.asarray(seen.max(axis=1) - seen.min(axis=1))


def cropped(square: Prob, height: int, width: int, spec: Spec) -> Prob:
    """Crop the padding of letterboxing from a map.

    Args:
        square: (s, s) map of the whole input; s divides its edge length.
        height: height of the image, px.
        width: width of the image, px.
        spec: spec with the input settings.
    """
    rows, columns = content_size(height, width, spec.prepare)
    return resize_to_original(_whole(square, spec), rows, columns, spec.prepare)


def _whole(square: Prob, spec: Spec) -> Prob:
    """Enlarge a map (s, s) to the input size (S, S) by repeating its cells."""
    repeat = spec.prepare.side // len(square)
    return np.kron(square, np.ones((repeat, repeat), square.dtype))


def _forward(network: HGMNet, image: Tensor) -> list[Tensor]:
    out = network(image)
    return [out.mask_logits.sigmoid(), out.coarse_mask_logits.sigmoid(), *out.gates]


Map = Literal["own", "shuffled", "truth"]
"""Map of the coarse net, map of another image, or the true mask."""

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
) -> RawPrediction:
    """Run the network over prepared images with another map instead of the coarse net's.

    The map affects the gates and where the classifier pools. The coarse mask stays the coarse
    net's.

    Args:
        network: in evaluation mode, on its device.
        spec: spec with the input settings.
        square: (N, S, S) uint8.
        truth: (N, S, S) in {0, 1}.
        given: which map; `own` changes nothing. `shuffled` is the map of the next image in a random
            order (seed 0), so each image gets the map of another one.
        mirror: average with the mirrored image, with its map mirrored too.
        scales: magnifications of further views for the uncertainty; unused unless `given` is `own`.
    """
    parts = [slice(start, start + _BATCH) for start in range(0, len(square), _BATCH)]
    near = scales if given == "own" else ()
    own = joined(
        [forward_tta(network, spec, square[part], mirror=mirror, scales=near) for part in parts]
    )
    if given == "own":
        return own
    maps = truth.astype(np.float32) if given == "truth" else _shuffled(own.coarse_mask_prob)
    told = [_told(network, spec, square[part], maps[part], mirror) for part in parts]
    masks, logits, views = (np.concatenate(kind) for kind in zip(*told, strict=True))
    return RawPrediction(masks, own.coarse_mask_prob, logits, views)


def joined(parts: list[RawPrediction]) -> RawPrediction:
    """Concatenate batches."""
    return RawPrediction(
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
        out: NetworkOutput = network(image, given)
        views, logits = [out.mask_logits.float().sigmoid()], out.class_logits.float()
        if mirror:
            out = network(image.flip(-1), given.flip(-1))
            views.append(out.mask_logits.float().sigmoid().flip(-1))
            logits = (logits + out.class_logits.float()) / 2
        seen = torch.cat(views, dim=1)
    mask = seen.mean(dim=1)
    return mask.cpu().numpy(), logits.cpu().numpy(), seen.half().cpu().numpy()
