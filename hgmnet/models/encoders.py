"""Encoders and their initial weights."""

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from hgmnet.config.model import File, Model
from hgmnet.errors import ConfigError
from hgmnet.models.image_size import DEPTH

TESTED = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "se_resnet50"),
    *("densenet121", "efficientnet-b0", "efficientnet-b3", "mobilenet_v2", "tu-regnety_004"),
    *("tu-resnet10t", "tu-mobilenetv3_large_100"),
)
"""Encoders covered by the tests; any other one of smp with five scales should work."""

_HEADS = (
    *("fc.", "classifier.", "head.", "last_linear."),  # torchvision, timm, and smp's own
    *("conv_head.", "norm_head.", "bn2."),  # between features and classifier, timm
)
_SHOWN = 5


def build_encoder(model: Model) -> nn.Module:
    """Build the encoder that `model` names, for its input channels; doesn't read a weights file.

    Raises:
        ConfigError: there is no such encoder, or its ImageNet weights are not available.
    """
    weights = "imagenet" if model.encoder_weights == "imagenet" else None
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
        if weights is not None and "nknown model" not in str(error) and not _wrong_name(error):
            raise _no_weights(model, error) from None
        msg = (
            f"model.encoder: there is no `{model.encoder}` with 5 scales in "
            "segmentation-models-pytorch; try resnet18, resnet101, efficientnet-b0 or mobilenet_v2"
        )
        raise ConfigError(msg) from None
    except OSError as error:  # what the hub raises without a network
        raise _no_weights(model, error) from None
    return encoder


def load_encoder_weights(encoder: nn.Module, file: File, root: Path) -> tuple[str, ...]:
    """Load weights from a file, with the keys of torchvision, timm or smp.

    The first convolution is summed over its inputs if the encoder has one grey input channel;
    a classifier's weights in the file are ignored.

    Args:
        encoder: encoder of `build_encoder`.
        file: a safetensors file.
        root: folder that its path is relative to.

    Returns:
        The encoder's keys that the file lacks; their weights stay random.

    Raises:
        ConfigError: the file is absent, its sha256 differs, or some of its weights don't fit.
    """
    given = _read(file, root)
    own = encoder.state_dict()
    prefix = "model." if all(key.startswith("model.") for key in own) else ""
    placed = {prefix + key.removeprefix(prefix): value for key, value in given.items()}
    found = {k: v for k, v in placed.items() if k in own or not _is_head(k.removeprefix(prefix))}
    fitted = {key: _to_channels(value, own.get(key)) for key, value in found.items()}
    wrong = [_problem(key, value, own) for key, value in sorted(fitted.items())]
    if problems := [problem for problem in wrong if problem]:
        raise ConfigError(f"{file.path} does not fit the encoder: {few(problems)}")
    nn.Module.load_state_dict(encoder, fitted, strict=False)  # smp's DenseNet takes no `strict`
    return tuple(k for k in own if k not in fitted and not k.endswith("num_batches_tracked"))


def say_missing(file: File, missing: tuple[str, ...]) -> None:
    """Print one line to stderr if a weights file was incomplete."""
    if missing:
        print(
            f"{file.path} lacks {len(missing)} of the encoder's tensors, which start at random: "
            f"{few(missing)}",
            file=sys.stderr,
        )


def few(items: Sequence[str]) -> str:
    """Format the first items and the number of further ones."""
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _read(file: File, root: Path) -> dict[str, Tensor]:
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
            f"model.encoder_weights: {file.path} has sha256 {sha256}, params.yaml says "
            f"{file.sha256}; it is another file, or damaged"
        )
    try:
        weights: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise ConfigError(f"{file.path} is no safetensors file: {error}") from None
    return weights


def _is_head(key: str) -> bool:
    return key.startswith(_HEADS)


def _to_channels(value: Tensor, own: Tensor | None) -> Tensor:
    summed = own is not None and value.ndim == 4 and value.shape[1] == 3 and own.shape[1] == 1
    return value.sum(dim=1, keepdim=True) if summed else value


def _problem(key: str, value: Tensor, own: Mapping[str, Tensor]) -> str:
    if key not in own:
        return f"{key} has no place"
    if value.shape != own[key].shape:
        return f"{key} is {tuple(value.shape)}, expected {tuple(own[key].shape)}"
    return ""


def _wrong_name(error: Exception) -> bool:
    return "Wrong encoder name" in str(error)


def _no_weights(model: Model, error: Exception) -> ConfigError:
    return ConfigError(
        f"model.encoder_weights: ImageNet weights of `{model.encoder}` could not be had from their "
        f"hub ({type(error).__name__}); connect to the network once, or set encoder_weights: none"
    )
