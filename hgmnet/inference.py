"""From an image to a finding: resample, predict, calibrate, decide, and back to native size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hgmnet.config import MALIGNANT, NORMAL, UNCLASSIFIED
from hgmnet.data.resample import Grey, Mask, Prob, fit_image, unfit
from hgmnet.models.spec import Operating, Spec, identity, load_operating
from hgmnet.uncertainty import class_entropy, disagreement, uncertainty

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from torch import Tensor

    from hgmnet.models.hgmnet import HGMNet

Box = tuple[int, int, int, int]
_TOGETHER = 16
"""Squares that pass the network at once; the views of few images do, which is faster."""


@dataclass(frozen=True)
class Raw:
    """What the network says of a batch, on the square.

    `mask_prob`, `coarse_mask_prob`: (B, S, S) float32. `class_logits`: (B, C) float32. `views`: the
    mask probabilities that each view of the image gives, in its place, (B, V, S, S) float16.
    """

    mask_prob: Prob
    coarse_mask_prob: Prob
    class_logits: NDArray[np.float32]
    views: NDArray[np.float16]


@dataclass(frozen=True)
class Finding:
    """What is said of one image of (H, W).

    `probs`: calibrated, by class. `predicted`: the likeliest class. `decided`: malignant from its
    threshold on, else the likeliest of the others. `decision`: the class served, after the
    consistency rules. `raw_mask`, `coarse_mask`: the fine and the coarse net's mask at the mask
    threshold. `large`: the fine net's mask reaches the minimum area. `mask`: the mask served, after
    minimum area and the consistency rules. `lesion_area`: its pixels. `box`: left, top, right,
    bottom (exclusive), None without a lesion. `class_entropy`, `mask_disagreement`, `uncertainty`:
    0 to 1, see `hgmnet.uncertainty`. `refer`: so unsure that a person should look.

    A model for segmentation alone leaves every image `unclassified`, its `probs` all equal; one for
    classification alone finds empty masks.
    """

    probs: dict[str, float]
    predicted: str
    decided: str
    decision: str
    mask: Mask
    raw_mask: Mask
    coarse_mask: Mask
    large: bool
    lesion_area: int
    box: Box | None
    class_entropy: float
    mask_disagreement: float
    uncertainty: float
    refer: bool


class Finder:
    """Something that looks at squares, and what makes findings of it: a model, however it runs."""

    def __init__(
        self, look: Callable[[Grey], Raw], spec: Spec, operating: Operating, sha256: str
    ) -> None:
        """Take what tells of prepared images, (B, S, S) uint8; its model is known by `sha256`."""
        self.look = look
        self.spec = spec
        self.operating = operating
        self.identity = sha256

    def predict(self, images: Sequence[Grey], batch_size: int = 16) -> list[Finding]:
        """Find in each image, grey (H, W) uint8 of any size."""
        return list(self.stream(images, batch_size))

    def stream(self, images: Sequence[Grey], batch_size: int = 16) -> Iterator[Finding]:
        """As `predict`, but no more than a batch of findings is in memory at a time."""
        return stream(self.look, self.spec, self.operating, images, batch_size)


class Predictor(Finder):
    """A model folder, loaded; torch runs it.

    Example:
        predictor = Predictor.load(Path("models/hgmnet"))
        finding = predictor.predict([decode_grey(path.read_bytes(), path.name)])[0]
    """

    def __init__(self, network: "HGMNet", spec: Spec, operating: Operating, sha256: str) -> None:
        """Take a network in evaluation mode, on its device."""
        super().__init__(self._look, spec, operating, sha256)
        self.network = network

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Predictor":
        """Load a model folder.

        Raises:
            ConfigError: a file of it is absent, damaged, or of another version.
        """
        from hgmnet.models.folder import load_model

        network, spec = load_model(folder)
        operating = load_operating(folder)
        return cls(network.to(device), spec, operating, identity(folder))

    def _look(self, square: Grey) -> Raw:
        point = self.operating
        return infer(self.network, self.spec, square, mirror=point.mirror, scales=point.scales)


def stream(
    look: Callable[[Grey], Raw],
    spec: Spec,
    operating: Operating,
    images: Sequence[Grey],
    batch_size: int,
) -> Iterator[Finding]:
    """Find in each image, grey (H, W) uint8 of any size, by what `look` says of squares."""
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        raw = look(np.stack([fit_image(image, spec.prepare) for image in batch]))
        for i, image in enumerate(batch):
            height, width = image.shape
            yield find(raw, i, (height, width), spec, operating)


def infer(
    network: "HGMNet", spec: Spec, square: Grey, *, mirror: bool, scales: Sequence[float] = ()
) -> Raw:
    """Run the network over prepared images.

    Args:
        network: in evaluation mode, on its device; laid out anew for speed (docs/speed.md).
        spec: how it sees an image.
        square: (B, S, S) uint8.
        mirror: average probabilities and class logits with the mirrored image's.
        scales: magnifications of further views, which change nothing but `views`.
    """
    import torch

    network.to(memory_format=torch.channels_last)  # nothing to do from the second time on
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec)
    few = len(square) * (1 + mirror) <= _TOGETHER
    with torch.inference_mode():
        mask, coarse, logits, views = see(network, image, mirror=mirror, scales=scales, few=few)
        seen = views.half()
    return Raw(mask.cpu().numpy(), coarse.cpu().numpy(), logits.cpu().numpy(), seen.cpu().numpy())


def see(
    network: "HGMNet", image: "Tensor", *, mirror: bool, scales: Sequence[float], few: bool
) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """What the network says of images and their views, as the fields of `Raw` (`views` float32).

    Args:
        network: in evaluation mode.
        image: (B, 1, S, S), normalised.
        mirror: as of `infer`.
        scales: as of `infer`.
        few: the mirrored images pass the network together with the images.
    """
    import torch

    from hgmnet.views import unzoom, zoom

    inputs = (image, image.flip(-1)) if mirror else (image,)
    passes = _at_once(network, inputs) if few else [_forward(network, one) for one in inputs]
    mask, coarse, logits = passes[0]
    views = [mask]
    if mirror:
        mirrored = passes[1]
        views.append(mirrored[0].flip(-1))
        mask = (mask + views[1]) / 2
        coarse = (coarse + mirrored[1].flip(-1)) / 2
        logits = (logits + mirrored[2]) / 2
    for scale in scales:
        near = _forward(network, zoom(image, scale))[0].unsqueeze(1)
        views.append(unzoom(near, scale, elsewhere=mask.unsqueeze(1)).squeeze(1))
    return mask, coarse, logits, torch.stack(views, dim=1)


def find(raw: Raw, i: int, shape: tuple[int, int], spec: Spec, operating: Operating) -> Finding:
    """Turn what the network says of image i of a batch into a finding at native size.

    Args:
        raw: of the batch.
        i: which image of it.
        shape: the image's own height and width, px.
        spec: how the network saw it.
        operating: the operating point.
    """
    probs = softmax(raw.class_logits[i] / operating.temperature)
    predicted, decided = UNCLASSIFIED, UNCLASSIFIED
    if operating.malignant_threshold is not None:
        predicted = spec.classes[int(probs.argmax())]
        decided = decide(probs, spec.classes, operating.malignant_threshold)
    raw_mask = unfit(raw.mask_prob[i], *shape, spec.prepare) >= operating.mask_threshold
    coarse = unfit(raw.coarse_mask_prob[i], *shape, spec.prepare)
    mask = serve(raw_mask, decided, operating)
    entropy, disagreeing, unsure = (float(x[0]) for x in doubt(_one(raw, i), operating))
    bound = operating.uncertainty.refer_above
    return Finding(
        probs=dict(zip(spec.classes, map(float, probs), strict=True)),
        predicted=predicted,
        decided=decided,
        decision=settle(decided, mask, spec.classes, operating),
        mask=mask,
        raw_mask=raw_mask,
        coarse_mask=coarse >= operating.mask_threshold,
        large=_large(raw_mask, operating),
        lesion_area=int(mask.sum()),
        box=_box(mask),
        class_entropy=entropy,
        mask_disagreement=disagreeing,
        uncertainty=unsure,
        refer=bound is not None and unsure > bound,
    )


def doubt(raw: Raw, operating: Operating) -> tuple[NDArray[np.float64], ...]:
    """Class entropy, mask disagreement and uncertainty of a batch, (B,) each."""
    entropy = class_entropy(softmax(raw.class_logits / operating.temperature))
    disagreeing = disagreement(raw.views, raw.mask_prob, operating.mask_threshold)
    return entropy, disagreeing, uncertainty(entropy, disagreeing, operating.uncertainty)


def normalise(square: "Tensor", spec: Spec) -> "Tensor":
    """Prepared grey images (B, S, S) uint8 as the network's input (B, 1, S, S) float32."""
    return (square.unsqueeze(1).float() / 255 - spec.mean) / spec.std


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def decide(probs: NDArray[np.float64], classes: Sequence[str], malignant_threshold: float) -> str:
    """The class served: malignant from its threshold on, else the likeliest of the others."""
    malignant = classes.index(MALIGNANT)
    if probs[malignant] >= malignant_threshold:
        return MALIGNANT
    others = [i for i in range(len(classes)) if i != malignant]
    return classes[max(others, key=lambda i: float(probs[i]))]


def serve(raw_mask: Mask, decided: str, operating: Operating) -> Mask:
    """The mask served: none below the minimum area, none where the class is normal."""
    taken = decided == NORMAL and operating.normal_means_no_mask
    return raw_mask if _large(raw_mask, operating) and not taken else np.zeros_like(raw_mask)


def settle(decided: str, mask: Mask, classes: Sequence[str], operating: Operating) -> str:
    """The decision served: normal where the mask served is empty, if that rule is on.

    A malignant decision stays: a lesion that the mask misses must not pass for healthy. Without a
    class `normal` nothing changes.
    """
    bare = operating.no_mask_means_normal and NORMAL in classes and not mask.any()
    return NORMAL if bare and decided not in {MALIGNANT, UNCLASSIFIED} else decided


def _large(raw_mask: Mask, operating: Operating) -> bool:
    return bool(raw_mask.mean() >= operating.min_area)


def _one(raw: Raw, i: int) -> Raw:
    """Image i alone."""
    only = slice(i, i + 1)
    return Raw(
        raw.mask_prob[only], raw.coarse_mask_prob[only], raw.class_logits[only], raw.views[only]
    )


def _at_once(
    network: "HGMNet", inputs: "Sequence[Tensor]"
) -> "list[tuple[Tensor, Tensor, Tensor]]":
    """What the network says of each input of the same size, in one pass."""
    import torch

    count = len(inputs)
    told = _forward(network, torch.cat(list(inputs)))
    mask, coarse, logits = (part.reshape(count, -1, *part.shape[1:]).unbind() for part in told)
    return list(zip(mask, coarse, logits, strict=True))


def _forward(network: "HGMNet", image: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    out = network(image)
    return (
        out.mask_logits.float().sigmoid().squeeze(1),
        out.coarse_mask_logits.float().sigmoid().squeeze(1),
        out.class_logits.float(),
    )


def _box(mask: Mask) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
