"""Exports that are checked against their model before they are kept."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hgmnet.config.data import Phantom
from hgmnet.data.resize import Grey
from hgmnet.errors import HgmnetError
from hgmnet.inference.onnx import OnnxPredictor
from hgmnet.inference.onnx_export import export_onnx
from hgmnet.inference.parity import Parity, parity
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import Spec
from hgmnet.phantom.generate import plan, render

T = TypeVar("T")
CheckImages = Callable[[Spec], tuple[list[Grey], str]]
"""Returns images of the model's own data for the check, and their description."""
CHECKED = 50  # images in the check; phantom images if the model's own are fewer
_PHANTOM = Phantom(seed=0, benign=17, malignant=17, normal=16, copies=0, width=320, height=256)


def export_checked(
    predictor: TorchPredictor, file: Path, check_images: CheckImages | None = None
) -> str:
    """Export a model on the CPU as ONNX if both predict the same; return their agreement.

    An existing file stays if the check fails. `check_images`: images of the model's data; None:
    phantom images only.

    Raises:
        ConfigError: a package is not installed.
        HgmnetError: the file's predictions differ from the model's.
    """
    own, source = check_images(predictor.spec) if check_images else ([], "")
    drawn = [render(case, _PHANTOM).image for case in plan(_PHANTOM)[: CHECKED - len(own)]]
    sources = [*([source] if own else []), *(["phantom images"] if drawn else [])]
    images = [*own, *drawn]

    def make(part: Path) -> Parity:
        export_onnx(predictor, part)
        found = parity(predictor.predict(images), OnnxPredictor.load(part).predict(images))
        if not found.holds:
            raise HgmnetError(f"the export predicts otherwise: {found}; nothing was written")
        return found

    return f"{write_checked(file, make)} ({', '.join(sources)})"


def write_checked(file: Path, make: Callable[[Path], T]) -> T:
    """Let `make` write and check a temporary file, then move it to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent, prefix=".export-") as folder:
        part = Path(folder) / file.name
        made = make(part)
        part.replace(file)
    return made
