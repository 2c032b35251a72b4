"""Backend of a model on this machine: torch, or ONNX Runtime with a checked export."""

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
_CODE = ("inference/*.py", "models/*.py")  # of the package hgmnet: the code that makes an export
MANY = 1000  # images from which on an export saves time within one call (docs/speed.md)


def load(
    exports: Path,
    model: Path,
    wanted: Wanted,
    images: int,
    check_images: "CheckImages | None" = None,
) -> tuple[Predictor, str]:
    """Load a model folder, or a file of `hgmnet export`; return it with its backend, in words.

    `auto` uses torch on a GPU. Otherwise it uses ONNX Runtime if that is installed and the model
    was exported before (to the folder `exports`), or if there are so many images that an export
    saves time. `check_images`: images to check a new export on, besides phantom images.

    Raises:
        ConfigError: there is no such model, or the requested backend is not installed.
        HgmnetError: the export's predictions differ from the model's.
    """
    if model.is_file():
        return OnnxPredictor.load(model), f"onnxruntime {version('onnxruntime')}"
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
    return OnnxPredictor.load(kept), f"onnxruntime {version('onnxruntime')}"


def cached(exports: Path, identity: str) -> Path:
    """Path of a model's export, by the model's identity and the exporting code."""
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
    """Return `cuda` or `cpu`; torch, slow to import, is only used if there is a GPU driver."""
    if not Path("/proc/driver/nvidia").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
