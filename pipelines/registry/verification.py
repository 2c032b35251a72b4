"""Load a registered version in a fresh process, as a server does, and compare its predictions."""

import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from PIL import Image

from hgmnet.data.images import decode_grey
from hgmnet.data.resize import Mask
from hgmnet.errors import InvalidDataError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import identity
from pipelines.registry.known_answers import CODE, code_hash
from pipelines.registry.versions import CODE_TAG, MODEL

_SCRIPT = Path(__file__).with_name("_predict_in_fresh_process.py")
_PROB_TOLERANCE = 1e-4
_MASK_AGREEMENT = 0.999


@dataclass(frozen=True)
class VersionAnswer:
    """A version's prediction for one image: most probable class, served class, calibrated probs.

    `mask`: (H, W) bool, as served.
    """

    predicted: str
    decision: str
    probs: dict[str, float]
    mask: Mask


def predict_version(
    uri: str, version: ModelVersion, images: Sequence[bytes]
) -> list[VersionAnswer]:
    """Predict encoded images as `predict_in_fresh_process`, and verify the files that were used.

    Raises:
        InvalidDataError: weights or packed code are not those that were registered.
        RuntimeError: loading or predicting failed.
    """

    def check(copy: Path) -> None:
        folder = next(item for item in (copy / "artifacts").iterdir() if item.is_dir())
        found = {MODEL: identity(folder), CODE_TAG: code_hash(copy / "code" / CODE.name)}
        for tag, value in found.items():
            registered = version.tags.get(tag, "").partition(" ")[0]
            if registered not in {"", value}:
                raise InvalidDataError(
                    f"{version.name} version {version.version}: {tag} is {value[:12]} in MLflow's "
                    f"files, but {registered[:12]} was registered; restore them from a backup"
                )

    model_uri = f"models:/{version.name}/{version.version}"
    return predict_in_fresh_process(uri, model_uri, images, check)


def predict_in_fresh_process(
    uri: str,
    model_uri: str,
    images: Sequence[bytes],
    check: Callable[[Path], None] = lambda _: None,
) -> list[VersionAnswer]:
    """Predict encoded images with a registered version and its packed code.

    `uri`: of the tracking store. `model_uri`: `models:/<name>/<version>` or `...@<alias>`. `check`
    gets the folder of the version's files afterwards.

    Raises:
        RuntimeError: loading or predicting failed; the message has the end of stderr.
    """
    with tempfile.TemporaryDirectory(prefix="hgmnet-") as folder:
        answers = Path(folder) / "answers.json"
        inputs = Path(folder) / "images"
        inputs.mkdir()
        for number, image in enumerate(images):
            (inputs / f"{number:06}").write_bytes(image)
        _run(uri, Path(folder), [model_uri, str(inputs), str(answers)])
        check(Path(folder) / "model")
        rows = json.loads(answers.read_text(encoding="utf-8"))
    return [_answer(row) for row in rows]


def verify(uri: str, model_uri: str, model: Path, images: Sequence[bytes]) -> None:
    """Compare a registered version's predictions with those of its source model folder.

    Class probabilities may differ by 1e-4 and masks must agree on 99.9 % of each image's pixels.

    Raises:
        RuntimeError: they differ by more, or the version can't be loaded.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict_in_fresh_process, uri, model_uri, images)
        greys = [decode_grey(image, f"image {i}") for i, image in enumerate(images)]
        predictions = TorchPredictor.load(model).predict(greys)
        answers = waiting.result()
    for number, (ours, theirs) in enumerate(zip(predictions, answers, strict=True)):
        gap = max(abs(ours.probs[name] - theirs.probs[name]) for name in ours.probs)
        agreement = float((ours.mask == theirs.mask).mean())
        if gap > _PROB_TOLERANCE or agreement < _MASK_AGREEMENT:
            raise RuntimeError(
                f"{model_uri} predicts differently from its source model: image {number}, "
                f"probabilities differ by {gap:.2g}, masks agree on {agreement:.2%} of the pixels"
            )


def _run(uri: str, folder: Path, words: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", str(_SCRIPT), *words],
        cwd=folder,
        env=environment | {"MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} can't be loaded in a fresh process:\n{done.stderr[-2000:]}")


def _answer(row: dict[str, Any]) -> VersionAnswer:
    named = {name: value for name, value in row.items() if name.startswith("prob_")}
    probs = {name.removeprefix("prob_"): float(value) for name, value in named.items()}
    with Image.open(io.BytesIO(base64.b64decode(row["mask_png"]))) as png:
        return VersionAnswer(row["class"], row["decision"], probs, np.asarray(png) > 127)
