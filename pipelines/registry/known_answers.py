"""Known answers: a version's predictions for synthetic images, recorded when it is registered.

Serving runs a version's weights with the code that is installed. Where that code is not the code
packed with the version, the known answers show whether it still predicts the same.
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
from PIL import Image

import hgmnet
from hgmnet.config.data import Phantom
from hgmnet.data.images import png_file
from hgmnet.inference.predictor import Predictor
from hgmnet.inference.response import Value, answer
from hgmnet.phantom.generate import Kind, PhantomCase, render

FILE = "known_answers.json"
CODE = Path(hgmnet.__file__).parent
"""Package that is packed into a version."""
REQUIREMENTS = (
    *("mlflow", "numpy", "pandas", "pillow", "pydantic", "pydicom", "ruamel.yaml", "safetensors"),
    *("python-gdcm", "segmentation-models-pytorch", "torch", "torchvision"),
)
_CASES: tuple[tuple[Kind, int], ...] = (("benign", 1), ("malignant", 2), ("malignant", 3))
_SIZE = 160  # px, nominal
_TOLERANCE = 0.005  # of a probability: another device or library version stays well below
_AGREEMENT = 0.995  # of a mask's pixels


def known_answers(predictor: Predictor) -> str:
    """Predict synthetic images; return them with the answers, as JSON."""
    images = [base64.b64encode(image).decode() for image in example_images()]
    return json.dumps({"images": images, "answers": answer(images, predictor, {})})


def first_difference(predictor: Predictor, recorded: str) -> str:
    """Predict the recorded images again; describe the first difference, empty for none.

    Probabilities may differ by 0.005 and masks in 0.5 % of their pixels.
    """
    known = json.loads(recorded)
    now = answer(known["images"], predictor, {})
    pairs = enumerate(zip(known["answers"], now, strict=True), start=1)
    found = (f"image {n}: {gap}" for n, (old, new) in pairs if (gap := _difference(old, new)))
    return next(found, "")


@cache
def installed_code() -> str:
    """Hash of the installed package hgmnet and of the versions of the libraries it predicts with.

    Read once per process, since an edit reaches a running process only when it is restarted.
    """
    return f"{code_hash(CODE)} {' '.join(f'{name}=={public(name)}' for name in REQUIREMENTS)}"


def code_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a package's Python files."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def example_images() -> list[bytes]:
    """Encoded synthetic images: PNG, and one JPEG in colour."""
    size = Phantom(seed=0, benign=0, malignant=0, normal=0, copies=0, width=_SIZE, height=_SIZE)
    drawn = [render(PhantomCase(label, seed, seed), size).image for label, seed in _CASES]
    jpeg = io.BytesIO()
    Image.fromarray(drawn[-1]).convert("RGB").save(jpeg, "JPEG", quality=90)
    return [*(png_file(Image.fromarray(grey)) for grey in drawn), jpeg.getvalue()]


def public(name: str) -> str:
    """Installed version of a package without a build's local part (`+cpu`), which no index has."""
    return installed(name).partition("+")[0]


def _difference(old: Mapping[str, Value], new: Mapping[str, Value]) -> str:
    for name, value in old.items():
        if name.startswith("prob_") or name == "uncertainty":
            gap = abs(float(value or 0) - float(new.get(name) or 0))
            if gap > _TOLERANCE:
                return f"{name} {new.get(name)}, recorded {value}"
        elif name in {"decision", "class", "refer", "error"} and new.get(name) != value:
            return f"{name} {new.get(name)}, recorded {value}"
    masks = [_mask(str(row["mask_png"])) for row in (old, new)]
    agreement = float((masks[0] == masks[1]).mean()) if masks[0].shape == masks[1].shape else 0.0
    return "" if agreement >= _AGREEMENT else f"masks agree on {agreement:.1%} of the pixels"


def _mask(png: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return np.asarray(image) > 127
