"""Choose the backend on this machine: torch, or ONNX Runtime with a checked export."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import hgmnet
from hgmnet.inference.onnx import OnnxPredictor, lacking
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.models.spec import identity

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from hgmnet.prediction.onnx_export import CheckImages

Wanted = Literal["auto", "torch", "onnx"]
_CODE = ("inference/*.py", "models/*.py")
"""Code of the package hgmnet that an export depends on."""
MANY = 1000
"""Number of images from which an export saves time within one call (docs/speed.md)."""


def load(
    exports: Path,
    model: Path,
    wanted: Wanted,
    images: int,
    check_images: "CheckImages | None" = None,
) -> tuple[Predictor, str]:
    """Load a model; return it and the name of its backend.

    `auto` takes torch on a GPU. Without a GPU it takes ONNX Runtime if that is installed and the
    model was exported before, or if the number of images justifies an export.

    Args:
        exports: folder of the cached exports.
        model: a model folder, or a file of `hgmnet export`.
        wanted: the backend.
        images: number of images to predict.
        check_images: gives images for the check of a new export, beside phantom images.

    Raises:
        ConfigError: there is no such model, or the backend is not installed.
        HgmnetError: the export predicts otherwise than the model.
    """
    if model.is_file():
        return OnnxPredictor.load(model), _onnxruntime()
    device = _device()
    kept = cached(exports, identity(model))
    if wanted == "auto":
        wanted = "onnx" if device == "cpu" and _pays(kept, images) else "torch"
    if wanted == "torch":
        return TorchPredictor.load(model, device), f"torch {version('torch')} on {device}"
    if not kept.exists():
        from hgmnet.prediction.onnx_export import export_checked

        print("Exporting the model for ONNX Runtime, once; it takes about half a minute.")
        print(export_checked(TorchPredictor.load(model), kept, check_images))
    return OnnxPredictor.load(kept), _onnxruntime()


def cached(exports: Path, identity: str) -> Path:
    """Path of a model's cached export; it depends on the model and the exporting code.

    Args:
        exports: folder of the cached exports.
        identity: `hgmnet.models.spec.identity` of the model folder.
    """
    package = Path(hgmnet.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for pattern in _CODE for file in package.glob(pattern)):
        digest.update(file.read_bytes())
    return exports / f"{identity[:16]}-{digest.hexdigest()[:16]}.onnx"


def _pays(kept: Path, images: int) -> bool:
    if lacking(["onnxruntime"]):
        return False
    return kept.exists() or (images >= MANY and not lacking(["onnx", "onnxscript"]))


def _device() -> str:
    """Return `cuda` or `cpu`; torch, which takes seconds to import, is used only with a driver."""
    if not Path("/proc/driver/nvidia").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _onnxruntime() -> str:
    return f"onnxruntime {version('onnxruntime')}"
