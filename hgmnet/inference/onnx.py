"""Predictor for models written by `hgmnet export`: ONNX Runtime, same output, no torch."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hgmnet.data.resize import Grey
from hgmnet.errors import ConfigError
from hgmnet.inference.postprocess import RawPrediction
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import Operating, Seen, Spec

FORMAT = "1"
INPUT = "square"
OUTPUTS = ("mask_prob", "coarse_mask_prob", "class_logits", "views")
NOTICE = "Research use only; not a medical device."
_NOBODY = Seen(train=(), val=(), groups=(), parent=())


class OnnxPredictor(Predictor):
    """An exported ONNX model, run by ONNX Runtime on the CPU.

    Its `spec` lacks the training images' list: the file leaves that out.

    Example:
        prediction = OnnxPredictor.load("model.onnx").predict(["scan.png"])[0]
    """

    def __init__(self, session: Any, spec: Spec, operating: Operating, sha256: str) -> None:
        """Take an `onnxruntime.InferenceSession`."""
        super().__init__(spec, operating, sha256)
        self._session = session

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "OnnxPredictor":
        """Load a file; uses OMP_NUM_THREADS threads if that is set, else one per core.

        Raises:
            ConfigError: onnxruntime is missing, the file is not an export, or `device` is not cpu.
        """
        if device not in {"cpu", "auto"}:
            raise ConfigError(f"{path}: an export runs on the CPU, not on {device}; use cpu")
        file = Path(path)
        session = _session(file)
        known = session.get_modelmeta().custom_metadata_map
        if known.get("format") != FORMAT:
            came = f"format {known['format']}" if "format" in known else "no format"
            msg = f"{file} has {came}, this version reads {FORMAT}; run: hgmnet export"
            raise ConfigError(msg)
        try:
            spec = Spec.model_validate_json(known["spec"])
            operating = Operating.model_validate_json(known["operating"])
        except (KeyError, ValidationError) as error:
            why = str(error).splitlines()[0]
            raise ConfigError(f"{file}: its metadata are damaged: {why}; export again") from None
        return cls(session, spec, operating, known["model_sha256"])

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """Return the network's output for prepared images, (B, S, S) uint8."""
        mask, coarse, logits, views = self._session.run(list(OUTPUTS), {INPUT: squares})
        return RawPrediction(mask, coarse, logits, views.astype(np.float16))


def describe(model: Predictor, precision: str) -> dict[str, str]:
    """Return the file's metadata, without the training images; `precision`: `fp32` or `int8`."""
    return {
        "format": FORMAT,
        "model_sha256": model.identity,
        "precision": precision,
        "spec": model.spec.model_copy(update={"seen": _NOBODY}).model_dump_json(),
        "operating": model.operating.model_dump_json(),
        "notice": NOTICE,
    }


def lacking(packages: Sequence[str]) -> str:
    """Join the names of those packages that are not installed; empty if all are."""
    return " and ".join(name for name in packages if find_spec(name) is None)


def _session(file: Path) -> Any:
    if lacking(["onnxruntime"]):
        raise ConfigError("onnxruntime is not installed: pip install onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    try:
        content = file.read_bytes()
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing; make it: hgmnet export --out {file}") from None
    except Exception as error:  # onnxruntime's own kinds of error have no common parent
        why = str(error).splitlines()[0][:120]
        raise ConfigError(f"{file} is not a valid ONNX model: {why}; export again") from None
