"""Export of a trained model as one ONNX file: the network with its views, and its metadata.

The graph takes prepared images, (B, S, S) uint8, and outputs the fields of `RawPrediction`;
normalisation, mirroring and further views are inside. Pre- and postprocessing parameters are in
the file's metadata (`hgmnet.inference.onnx.describe`).
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from hgmnet.data.resize import Grey
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.inference.onnx import INPUT, OUTPUTS, describe, lacking
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.inference.tta import run_network
from hgmnet.models.spec import normalise

_BATCH = 16


def export_onnx(predictor: TorchPredictor, file: Path) -> None:
    """Export a model, on the CPU, as float32 ONNX with a dynamic batch size.

    Raises:
        ConfigError: onnx, onnxscript or onnxruntime is not installed.
        HgmnetError: torch fixed the batch size.
    """
    _check_installed()
    import onnx

    side = predictor.spec.prepare.side
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Seeing(predictor).eval(),
            (torch.zeros(2, side, side, dtype=torch.uint8),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    model: Any = program.model_proto if program else None
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        msg = "torch could not export this model for batches of any size; nothing was written"
        raise HgmnetError(msg)
    onnx.helper.set_model_props(model, describe(predictor, "fp32"))
    file.write_bytes(model.SerializeToString())


def quantise(model: Predictor, file: Path, squares: Grey, into: Path) -> None:
    """Write the int8 version of an exported file.

    Weights are signed, per channel, in 7 bits, so that sums do not overflow on processors without
    VNNI; activations are unsigned, over their range on `squares`, prepared images (N, S, S) uint8,
    about a hundred. `file`: the `export_onnx` file of `model`. `into`: the file to write.

    Raises:
        ConfigError: onnx, onnxscript or onnxruntime is not installed.
    """
    _check_installed()
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _quiet(), TemporaryDirectory(dir=into.parent) as folder:
        shaped, made = Path(folder) / "shaped.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(file, shaped, skip_symbolic_shape=True)
        quantize_static(
            shaped,
            made,
            _Batches(squares),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        quantised = onnx.load(made)
        onnx.helper.set_model_props(quantised, describe(model, "int8"))
        into.write_bytes(quantised.SerializeToString())


class _Seeing(nn.Module):
    """`hgmnet.inference.infer` as a graph."""

    def __init__(self, predictor: TorchPredictor) -> None:
        super().__init__()
        self.network = predictor.network
        self.spec, self.point = predictor.spec, predictor.operating

    def forward(self, square: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        image, point = normalise(square, self.spec), self.point
        return run_network(self.network, image, mirror=point.mirror, scales=point.scales, few=True)


class _Batches:
    """Calibration data reader of onnxruntime over prepared images."""

    def __init__(self, squares: Grey) -> None:
        self._left = iter({INPUT: squares[i : i + _BATCH]} for i in range(0, len(squares), _BATCH))

    def get_next(self) -> dict[str, Grey] | None:
        return next(self._left, None)


def _check_installed() -> None:
    missing = lacking(["onnx", "onnxscript", "onnxruntime"])
    if missing:
        msg = f"{missing} must be installed to export: pip install onnx onnxscript onnxruntime"
        raise ConfigError(msg)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the output of torch's exporter and onnxruntime's quantiser."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
