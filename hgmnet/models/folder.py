"""The model folder: all that is needed to rebuild a trained HGM-Net, with no pickle and no network.

`weights.safetensors` and `model.json` are written by training, `operating.json` by calibration.
"""

import hashlib
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from hgmnet.config import Fraction, Frozen, Model, Positive, Prepare
from hgmnet.errors import ConfigError
from hgmnet.models.hgmnet import HGMNet

T = TypeVar("T", bound=Frozen)
FORMAT = 1
WEIGHTS, SPEC, OPERATING = "weights.safetensors", "model.json", "operating.json"


class Seen(Frozen):
    """Pixel hashes and groups that the weights or thresholds were fitted on."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    groups: tuple[str, ...]


class Spec(Frozen):
    """model.json: the architecture, how it sees an image, and what it was made from.

    A grey value v in 0-255 enters the network as (v / 255 - mean) / std.
    """

    format: int
    model: Model
    prepare: Prepare
    classes: tuple[str, ...]
    mean: float
    std: float
    data: str
    seed: int
    fingerprint: str
    seen: Seen


class Operating(Frozen):
    """operating.json: how logits become findings.

    `min_area`: a smaller mask, as a share of the image, is dropped. `malignant_threshold`: the
    calibrated probability from which the decision is malignant. `normal_means_no_mask`: a decision
    for normal takes the mask away. `mirror`: average with the mirrored image.
    """

    temperature: Positive
    mask_threshold: Annotated[float, Field(gt=0, lt=1)]
    min_area: Fraction
    malignant_threshold: Fraction
    normal_means_no_mask: bool
    mirror: bool


def save_model(folder: Path, network: HGMNet, spec: Spec) -> None:
    """Write weights.safetensors and model.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    _replace(folder / WEIGHTS, save(state))
    _replace(folder / SPEC, spec.model_dump_json(indent=2).encode())


def save_operating(folder: Path, operating: Operating) -> None:
    """Write operating.json."""
    _replace(folder / OPERATING, operating.model_dump_json(indent=2).encode())


def load_model(folder: Path) -> tuple[HGMNet, Spec]:
    """Rebuild the network, in evaluation mode on the CPU, from weights.safetensors and model.json.

    Raises:
        ConfigError: a file is absent, damaged, or of another version.
    """
    spec = _read(folder / SPEC, Spec)
    if spec.format != FORMAT:
        raise ConfigError(f"{folder / SPEC}: format {spec.format}, this version reads {FORMAT}")
    bare = spec.model.model_copy(update={"encoder_weights": "none"})
    network = HGMNet(bare, len(spec.classes))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError:
        raise ConfigError(f"{folder / WEIGHTS} is missing; `dvc repro` makes it") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{folder / WEIGHTS} does not fit {SPEC} beside it: {first}") from None
    return network.eval(), spec


def load_operating(folder: Path) -> Operating:
    """Read operating.json.

    Raises:
        ConfigError: the file is absent or damaged.
    """
    return _read(folder / OPERATING, Operating)


def identity(folder: Path) -> str:
    """The sha256 that a model is known by: over its three files."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, SPEC, OPERATING):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def resolve_device(accelerator: str) -> torch.device:
    """The device for `auto`, `cpu` or `gpu`.

    Raises:
        ConfigError: a GPU was asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("train.accelerator: gpu, but torch sees none; set it to auto or cpu")
    use_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; `dvc repro` makes it") from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{path} is no {kind.__name__}: {key}: {problem['msg']}") from None


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
