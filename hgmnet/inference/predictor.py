"""From an image to a prediction: resize, run the network, postprocess to the image's own size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hgmnet.data.resize import Grey, resize_to_input
from hgmnet.inference.postprocess import Prediction, RawPrediction, postprocess
from hgmnet.models.spec import Operating, Spec, identity, load_operating

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from hgmnet.models.hgmnet import HGMNet


class Predictor(ABC):
    """A model that predicts, however it runs: torch, ONNX Runtime, or several models as one.

    `spec`: how it sees an image, and what it learnt. `operating`: thresholds and temperature.
    `identity`: the sha256 that its model is known by.
    """

    def __init__(self, spec: Spec, operating: Operating, identity: str) -> None:
        """Take what is known of the model."""
        self.spec = spec
        self.operating = operating
        self.identity = identity

    @abstractmethod
    def predict_raw(self, squares: Grey) -> RawPrediction:
        """What the network outputs for prepared images, (B, S, S) uint8."""

    def predict(self, images: Sequence[Grey], batch_size: int = 16) -> list[Prediction]:
        """Predict each image, grey (H, W) uint8 of any size."""
        return list(self.stream(images, batch_size))

    def stream(self, images: Sequence[Grey], batch_size: int = 16) -> Iterator[Prediction]:
        """As `predict`, but no more than one batch of predictions is in memory at a time."""
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            squares = np.stack([resize_to_input(image, self.spec.prepare) for image in batch])
            raw = self.predict_raw(squares)
            for i, image in enumerate(batch):
                height, width = image.shape
                yield postprocess(raw, i, (height, width), self.spec, self.operating)


class TorchPredictor(Predictor):
    """A model folder, loaded; torch runs it.

    Example:
        predictor = TorchPredictor.load(Path("models/hgmnet"))
        prediction = predictor.predict([decode_grey(path.read_bytes(), path.name)])[0]
    """

    def __init__(self, network: "HGMNet", spec: Spec, operating: Operating, sha256: str) -> None:
        """Take a network in evaluation mode, on its device."""
        super().__init__(spec, operating, sha256)
        self.network = network

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "TorchPredictor":
        """Load a model folder.

        Raises:
            ConfigError: a file of it is absent, damaged, or of another version.
        """
        from hgmnet.models.serialization import load_model

        network, spec = load_model(folder)
        operating = load_operating(folder)
        return cls(network.to(device), spec, operating, identity(folder))

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """As the base class says; the views are those of the operating point."""
        from hgmnet.inference.tta import forward_tta

        point = self.operating
        return forward_tta(
            self.network, self.spec, squares, mirror=point.mirror, scales=point.scales
        )
