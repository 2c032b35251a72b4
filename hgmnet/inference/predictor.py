"""Predictors: resize, run the network, postprocess to the image's original size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hgmnet.data.reader import ImageInput, read_grey
from hgmnet.data.resize import Grey, resize_to_input
from hgmnet.errors import InvalidDataError
from hgmnet.inference.postprocess import Prediction, RawPrediction, postprocess
from hgmnet.models.spec import Operating, Spec, identity, load_operating

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from hgmnet.inference.maps import ImageMaps
    from hgmnet.models.ensemble import Network


class Predictor(ABC):
    """Base class of predictors: torch or ONNX Runtime.

    `spec`: preprocessing, classes and training data. `operating`: thresholds and temperature.
    `identity`: the model's sha256.

    Example:
        predictor = Predictor.load("models/hgmnet")
        prediction = predictor.predict(["scan.png"])[0]
        prediction.decision, prediction.probs, prediction.mask
    """

    def __init__(self, spec: Spec, operating: Operating, identity: str) -> None:
        self.spec, self.operating, self.identity = spec, operating, identity

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "auto") -> "Predictor":
        """Load a model folder (torch) or a file written by `hgmnet export` (ONNX Runtime).

        `device`: `cpu`, `cuda`, or `auto` (a GPU if there is one). A file runs on the CPU.

        Raises:
            ConfigError: the model is missing, damaged, or of another version.
        """
        if Path(path).is_file():
            from hgmnet.inference.onnx import OnnxPredictor

            return OnnxPredictor.load(path)
        return TorchPredictor.load(path, device)

    @abstractmethod
    def predict_raw(self, squares: Grey) -> RawPrediction:
        """Return the network's output for prepared images, (B, S, S) uint8."""

    def predict(self, images: Sequence[ImageInput], batch_size: int = 16) -> list[Prediction]:
        """Predict each image.

        Args:
            images: paths or bytes of PNG, JPEG, BMP, TIFF or DICOM files, or pixels (H, W) or
                (H, W, 3) uint8, each of any size.
            batch_size: images per pass through the network.

        Returns:
            One prediction per image, in order, its mask at the image's original size.

        Raises:
            InvalidDataError: an image can't be read.
        """
        return list(self.stream(images, batch_size))

    def stream(self, images: Sequence[ImageInput], batch_size: int = 16) -> Iterator[Prediction]:
        """Yield the predictions of `predict` with at most one batch of images in memory."""
        if isinstance(images, str | bytes | PathLike):
            raise InvalidDataError("expected a list of images, got a single one: predict([image])")
        for start in range(0, len(images), batch_size):
            numbered = enumerate(images[start : start + batch_size], start)
            batch = [read_grey(image, f"image {i}") for i, image in numbered]
            squares = np.stack([resize_to_input(image, self.spec.prepare) for image in batch])
            raw = self.predict_raw(squares)
            for i, image in enumerate(batch):
                yield postprocess(raw, i, image.shape, self.spec, self.operating)


class TorchPredictor(Predictor):
    """A model folder, loaded and run by torch."""

    def __init__(self, network: "Network", spec: Spec, operating: Operating, sha256: str) -> None:
        """Take a network in evaluation mode, on its device."""
        super().__init__(spec, operating, sha256)
        self.network = network

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "TorchPredictor":
        """Load a model folder; `device`: `cpu`, `cuda`, or `auto` (a GPU if there is one).

        Raises:
            ConfigError: one of its files is missing, damaged, or of another version.
        """
        from hgmnet.models.device import best_device
        from hgmnet.models.serialization import load_model

        folder = Path(path)
        network, spec = load_model(folder)
        device = best_device() if device == "auto" else device
        operating = load_operating(folder)
        return cls(network.to(device), spec, operating, identity(folder))

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """Return the output for images (B, S, S) uint8, with the operating point's views."""
        from hgmnet.inference.tta import forward_tta

        point = self.operating
        return forward_tta(
            self.network, self.spec, squares, mirror=point.mirror, scales=point.scales
        )

    def maps(self, images: Sequence[ImageInput]) -> "list[ImageMaps]":
        """Return each image's probability maps and gates, (H, W); `images` as for `predict`."""
        from hgmnet.inference.maps import native_maps

        return native_maps(self, images)
