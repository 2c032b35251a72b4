"""What a model folder says of itself; no torch is needed to read it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, ValidationError

from hgmnet.config.base import Fraction, Frozen, Positive
from hgmnet.config.data import Prepare
from hgmnet.config.model import Model
from hgmnet.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from torch import Tensor


T = TypeVar("T", bound=Frozen)
FORMAT = 2
WEIGHTS, SPEC, OPERATING = "weights.safetensors", "model.json", "operating.json"
PROFILE = "profile.json"
"""What the images were like (`hgmnet.evaluation.drift.Profile`); not needed to predict."""


class Seen(Frozen):
    """Pixel hashes and groups that the weights or thresholds were fitted on.

    `parent`: the pixel hashes that the model which training began with had seen. Its groups are
    among `groups` if it comes from the same data set.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    groups: tuple[str, ...]
    parent: tuple[str, ...]

    @property
    def pixels(self) -> frozenset[str]:
        """All pixel hashes."""
        return frozenset((*self.train, *self.val, *self.parent))


class Spec(Frozen):
    """model.json: the architecture, how it sees an image, and what it was made from.

    A grey value v in 0-255 enters the network as (v / 255 - mean) / std. `parent`: the sha256 of
    the model that training began with, if any.
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
    parent: str | None
    seen: Seen


class Uncertainty(Frozen):
    """What an image's uncertainty is compared with (`hgmnet.inference.postprocess`).

    `class_entropy`, `mask_disagreement`: every twentieth of val's values, rising; empty where the
    model does not tell them. `refer_above`: the uncertainty above which a finding is referred to a
    person, None where none is.
    """

    class_entropy: tuple[float, ...] = ()
    mask_disagreement: tuple[float, ...] = ()
    refer_above: Fraction | None = None


class Operating(Frozen):
    """operating.json: how logits become findings.

    `min_area`: a smaller mask, as a share of the image, is dropped. `malignant_threshold`: the
    calibrated probability from which the decision is malignant, None for a model that tells no
    class. `normal_means_no_mask`: a decision for normal takes the mask away.
    `no_mask_means_normal`: where no mask is left, a decision that is not malignant becomes normal.
    `mirror`: average with the mirrored image. `scales`: further views that tell of uncertainty.
    A file from before the last three were known says none of them, and that is what it does.
    """

    temperature: Positive
    mask_threshold: Annotated[float, Field(gt=0, lt=1)]
    min_area: Fraction
    malignant_threshold: Fraction | None
    normal_means_no_mask: bool
    mirror: bool
    no_mask_means_normal: bool = False
    scales: tuple[Positive, ...] = ()
    uncertainty: Uncertainty = Uncertainty()


def load_spec(folder: Path) -> Spec:
    """Read model.json; ConfigError if the file is absent, damaged, or of another version."""
    spec = _read(folder / SPEC, Spec)
    if spec.format != FORMAT:
        raise ConfigError(f"{folder / SPEC}: format {spec.format}, this version reads {FORMAT}")
    return spec


def load_operating(folder: Path) -> Operating:
    """Read operating.json; ConfigError if the file is absent or damaged."""
    return _read(folder / OPERATING, Operating)


def identity(folder: Path) -> str:
    """The sha256 that a model is known by: over its four files; ConfigError if a file is absent."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, SPEC, OPERATING, PROFILE):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            raise _missing(folder / name) from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{path} is no {kind.__name__}: {key}: {problem['msg']}") from None


def _missing(path: Path) -> ConfigError:
    return ConfigError(f"{path} is missing; `dvc repro` makes it")


def normalise(square: "Tensor", spec: Spec) -> "Tensor":
    """Prepared grey images (B, S, S) uint8 as the network's input (B, 1, S, S) float32."""
    return (square.unsqueeze(1).float() / 255 - spec.mean) / spec.std
