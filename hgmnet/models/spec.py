"""Files of a model folder that describe the model; they can be read without torch."""

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
"""Profile of the images (`hgmnet.evaluation.drift.Profile`); not needed to predict."""


class Seen(Frozen):
    """Pixel hashes and groups that the weights or thresholds were fitted on.

    `parent`: pixel hashes seen by the model that training started from. Its groups are included in
    `groups` if it was trained on the same data set.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    groups: tuple[str, ...]
    parent: tuple[str, ...]

    @property
    def pixels(self) -> frozenset[str]:
        """Union of all pixel hashes."""
        return frozenset((*self.train, *self.val, *self.parent))


class Spec(Frozen):
    """model.json: architecture, input settings and origin of a model.

    A grey value v in 0-255 is normalised to (v / 255 - mean) / std. `parent`: sha256 of the model
    that training started from, if any.
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
    """Quantiles and threshold of the uncertainty (`hgmnet.inference.uncertainty`).

    `class_entropy`, `mask_disagreement`: quantiles of val's values, every 5 %, ascending; empty if
    the model lacks the task. `refer_above`: uncertainty above which an image is referred to a
    person; None: never.
    """

    class_entropy: tuple[float, ...] = ()
    mask_disagreement: tuple[float, ...] = ()
    refer_above: Fraction | None = None


class Operating(Frozen):
    """operating.json: settings of the postprocessing.

    `min_area`: smaller masks are dropped, as a fraction of the image. `malignant_threshold`:
    calibrated probability from which the decision is malignant, None for a model without classes.
    `normal_means_no_mask`: a decision for normal removes the mask. `no_mask_means_normal`: without
    a mask, a decision that is not malignant becomes normal. `mirror`: average with the mirrored
    image. `scales`: magnifications of further views for the uncertainty. The defaults of the last
    three fields are the behaviour of older files, which lack them.
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
    """Read model.json.

    Raises:
        ConfigError: the file is absent, damaged, or has another format version.
    """
    spec = _read(folder / SPEC, Spec)
    if spec.format != FORMAT:
        raise ConfigError(f"{folder / SPEC}: format {spec.format}, this version reads {FORMAT}")
    return spec


def load_operating(folder: Path) -> Operating:
    """Read operating.json.

    Raises:
        ConfigError: the file is absent or damaged.
    """
    return _read(folder / OPERATING, Operating)


def identity(folder: Path) -> str:
    """Return the sha256 (hex) that identifies a model: over its four files.

    Raises:
        ConfigError: a file is absent.
    """
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
    """Convert prepared grey images (B, S, S) uint8 to the network's input (B, 1, S, S) float32."""
    return (square.unsqueeze(1).float() / 255 - spec.mean) / spec.std
