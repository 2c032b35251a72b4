"""Where exported models are kept."""

import hashlib
from pathlib import Path

import hgmnet

_CODE = ("export.py", "exported.py", "inference.py", "views.py", "models/*.py")


def cached(root: Path, identity: str) -> Path:
    """Where the export of a model lies once it is made, by the model and by the code that makes it.

    Args:
        root: the repository.
        identity: `hgmnet.models.spec.identity` of the model folder.
    """
    package = Path(hgmnet.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for pattern in _CODE for file in package.glob(pattern)):
        digest.update(file.read_bytes())
    return root / ".hgmnet" / "onnx" / f"{identity[:16]}-{digest.hexdigest()[:16]}.onnx"
