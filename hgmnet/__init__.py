"""HGM-Net: lesion masks and classes for breast ultrasound. For research; not a medical device.

Example:
    import hgmnet

    predictor = hgmnet.Predictor.load("models/hgmnet")
    prediction = predictor.predict(["scan.png"])[0]
    hgmnet.overlay("scan.png", prediction.mask).save("overlay.png")
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "HGMNet": "hgmnet.models.hgmnet",
    "HgmnetError": "hgmnet.errors",
    "ImageMaps": "hgmnet.inference.maps",
    "Prediction": "hgmnet.inference.postprocess",
    "Predictor": "hgmnet.inference.predictor",
    "fit": "hgmnet.estimator.fit",
    "load_model": "hgmnet.models.serialization",
    "overlay": "hgmnet.pages.overlays",
}
"""Public names and their modules; torch is imported with the first that needs it."""

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name == "__version__":
        return import_module("importlib.metadata").version("hgmnet")
    raise AttributeError(f"module 'hgmnet' has no attribute {name!r}")
