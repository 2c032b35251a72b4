"""Predict images: resize, run the network, and postprocess at native size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hgmnet.data.dicom import ImageInput, read_grey
from hgmnet.data.resize import Grey, resize_to_input
from hgmnet.errors import InvalidDataError
from hgmnet.inference.postprocess import Prediction, RawPrediction, postprocess
from hgmnet.models.spec import Operating, Spec, identity, load_operating

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from hgmnet.inference.maps import ImageMaps
    from hgmnet.models.hgmnet import HGMNet


class Predictor(ABC):
    """Base class of predictors: torch, ONNX Runtime, or an ensemble.

    `spec`: input settings, classes and tasks. `operating`: thresholds and temperature. `identity`:
    sha256 of the model.

    Example:
        predictor = Predictor.load("models/hgmnet")
        prediction = predictor.predict(["scan.png"])[0]
        prediction.decision, prediction.probs, prediction.mask
    """

    def __init__(self, spec: Spec, operating: Operating, identity: str) -> None:
        """Store spec, operating point and the model's hash."""
        self.spec = spec
        self.operating = operating
        self.identity = identity

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "auto") -> "Predictor":
        """Load a model folder, run by torch, or a file of `hgmnet export`, run by ONNX Runtime.

        Args:
            path: the folder or file.
            device: `cpu`, `cuda`, or `auto`: a GPU if there is one. A file runs on the CPU.

        Raises:
            ConfigError: the model is absent, damaged, or has another format version.
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
            batch_size: number of images per pass of the network.

        Returns:
            One prediction per image, in their order, with the mask at native size.

        Raises:
            InvalidDataError: an image can't be read.
        """
        return list(self.stream(images, batch_size))

    def stream(self, images: Sequence[ImageInput], batch_size: int = 16) -> Iterator[Prediction]:
        """Predict like `predict`, with at most one batch of images in memory."""
        if isinstance(images, str | bytes | PathLike):
            raise InvalidDataError("expected a list of images, got a single one: predict([image])")
        for start in range(0, len(images), batch_size):
            batch = [
                read_grey(image, f"image {start + i}")
                for i, image in enumerate(images[start : start + batch_size])
            ]
            squares = np.stack([resize_to_input(image, self.spec.prepare) for image in batch])
            raw = self.predict_raw(squares)
            for i, image in enumerate(batch):
                height, width = image.shape
                yield postprocess(raw, i, (height, width), self.spec, self.operating)


class TorchPredictor(Predictor):
    """A loaded model folder, run by torch."""

    def __init__(self, network: "HGMNet", spec: Spec, operating: Operating, sha256: str) -> None:
        """Store a network in evaluation mode, on its device, with spec and operating point."""
        super().__init__(spec, operating, sha256)
        self.network = network

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "TorchPredictor":
        """Load a model folder.

        Args:
            path: the folder.
            device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

        Raises:
            ConfigError: a file is absent, damaged, or has another format version.
        """
        from hgmnet.models.device import best_device
        from hgmnet.models.serialization import load_model

        folder = Path(path)
        network, spec = load_model(folder)
        device = best_device() if device == "auto" else device
        operating = load_operating(folder)
        return cls(network.to(device), spec, operating, identity(folder))

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """See `Predictor.predict_raw`; the views are those of the operating point."""
        from hgmnet.inference.tta import forward_tta

        point = self.operating
        return forward_tta(
            self.network, self.spec, squares, mirror=point.mirror, scales=point.scales
        )

    def maps(self, images: Sequence[ImageInput]) -> "list[ImageMaps]":
        """Return probability maps and gates at native size; `images` as for `predict`."""
        from hgmnet.inference.maps import native_maps

        return native_maps(self, images)
