"""Export a model, and keep the export only if it agrees with the model."""

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
"""Returns images of a model's data set for the check of its export, and their description."""
CHECKED = 50
"""Number of images for the check; phantom images are added if the data set has fewer."""
_PHANTOM = Phantom(seed=0, benign=17, malignant=17, normal=16, copies=0, width=320, height=256)


def export_checked(
    predictor: TorchPredictor, file: Path, check_images: CheckImages | None = None
) -> str:
    """Write a model as ONNX if the export's predictions agree with the model's.

    Args:
        predictor: the model, on the CPU.
        file: output file; unchanged if the check fails.
        check_images: gives images of the model's data; None: phantom images alone.

    Returns:
        A sentence on the agreement of the two.

    Raises:
        ConfigError: a package is not installed.
        HgmnetError: the export predicts otherwise than the model.
    """
    own, source = check_images(predictor.spec) if check_images else ([], "")
    drawn = [render(case, _PHANTOM).image for case in plan(_PHANTOM)[: CHECKED - len(own)]]
    sources = [*([source] if own else []), *(["phantom images"] if drawn else [])]
    images = [*own, *drawn]

    def make(part: Path) -> Parity:
        export_onnx(predictor, part)
        agreed = parity(predictor.predict(images), OnnxPredictor.load(part).predict(images))
        if not agreed.holds:
            msg = f"the exported model answers otherwise: {agreed}; nothing was written"
            raise HgmnetError(msg)
        return agreed

    return f"{write_checked(file, make)} ({', '.join(sources)})"


def write_checked(file: Path, make: Callable[[Path], T]) -> T:
    """Call `make` with a temporary path, and move the file to `file` when it returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent, prefix=".export-") as folder:
        part = Path(folder) / file.name
        made = make(part)
        part.replace(file)
    return made
