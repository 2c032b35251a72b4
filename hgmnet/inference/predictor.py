"""From an image to a finding: resample, predict, calibrate, decide, and back to native size."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hgmnet.data.resize import Grey, fit_image
from hgmnet.inference.postprocess import Finding, Raw, find
from hgmnet.models.spec import Operating, Spec, identity, load_operating

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from hgmnet.models.hgmnet import HGMNet


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
        from hgmnet.models.serialization import load_model

        network, spec = load_model(folder)
        operating = load_operating(folder)
        return cls(network.to(device), spec, operating, identity(folder))

    def _look(self, square: Grey) -> Raw:
        from hgmnet.inference.tta import infer

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
