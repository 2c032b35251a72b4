"""Metadata of a model folder; readable without torch."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from hgmnet.config.base import Fraction, Frozen, Natural, Positive
from hgmnet.config.data import Prepare
from hgmnet.config.model import Model
from hgmnet.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and an exported model needs none
    from torch import Tensor


T = TypeVar("T", bound=Frozen)
FORMAT, READABLE = 3, (2, 3)  # in format 2 the names of groups are in clear text
WEIGHTS, SPEC, OPERATING = "weights.safetensors", "model.json", "operating.json"
PROFILE = "profile.json"
"""Profile of the training images (`hgmnet.evaluation.drift.Profile`); unused in prediction."""


def hash_name(name: str) -> str:
    """Hash a name that is only ever compared, since a model travels and a name can be a person's.

    A hash stays as it is.
    """
    if name.startswith(_HASHED):
        return name
    return _HASHED + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()


_HASHED = "sha256:"
HashedNames = Annotated[
    tuple[str, ...], AfterValidator(lambda names: tuple(sorted(map(hash_name, names))))
]


class Seen(Frozen):
    """Pixel hashes and groups of the images that the weights or thresholds were fitted on.

    `groups`: their names, hashed, because a group is named after a file. `parent`: pixel hashes
    that the model of `train.init_from` was fitted on. Its groups are among `groups` if it comes
    from the same data set.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    groups: HashedNames
    parent: tuple[str, ...]

    @property
    def pixels(self) -> frozenset[str]:
        """All pixel hashes."""
        return frozenset((*self.train, *self.val, *self.parent))


class Spec(Frozen):
    """model.json: architecture, preprocessing, and training data.

    A grey value v in 0-255 enters the network as (v / 255 - mean) / std. `seed`: of the training;
    the first one's, if there are several `members`. `parent`: the sha256 of the model that training
    started from, if any.
    """

    format: int
    model: Model
    prepare: Prepare
    classes: tuple[str, ...]
    mean: float
    std: float
    data: str
    seed: int
    members: Natural = 1
    fingerprint: str
    parent: str | None
    seen: Seen


class Uncertainty(Frozen):
    """Reference values for an image's uncertainty (`hgmnet.inference.postprocess`).

    `class_entropy`, `mask_disagreement`: val's quantiles in steps of 5 %, ascending; empty if the
    model does not output them. `refer_above`: the uncertainty above which a prediction is referred
    to a reader, None for no referral.
    """

    class_entropy: tuple[float, ...] = ()
    mask_disagreement: tuple[float, ...] = ()
    refer_above: Fraction | None = None


class Operating(Frozen):
    """operating.json: parameters that convert logits into predictions.

    `min_area`: minimum mask area, as a fraction of the image. `malignant_threshold`: the calibrated
    probability from which the decision is malignant, None without a classifier.
    `normal_means_no_mask`: the decision normal empties the mask. `no_mask_means_normal`: an empty
    mask turns a decision that is not malignant into normal. `mirror`: average with the mirrored
    image. `scales`: further views, for uncertainty. Older files lack the last three; their defaults
    change nothing.
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
    """Read model.json; ConfigError if the file is missing, damaged, or of another version."""
    spec = read_part(folder / SPEC, Spec)
    if spec.format not in READABLE:
        raise ConfigError(f"{folder / SPEC}: format {spec.format}, this version reads {FORMAT}")
    return spec


def load_operating(folder: Path) -> Operating:
    """Read operating.json; ConfigError if the file is missing or damaged."""
    return read_part(folder / OPERATING, Operating)


def identity(folder: Path) -> str:
    """Return the model's sha256, over its four files; ConfigError if one is missing."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, SPEC, OPERATING, PROFILE):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            raise _missing(folder / name) from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def read_part(path: Path, kind: type[T]) -> T:
    """Read a JSON file of a model folder; ConfigError if it is missing or damaged."""
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
    """Convert images (B, S, S) uint8 to the network's input (B, 1, S, S) float32."""
    return (square.unsqueeze(1).float() / 255 - spec.mean) / spec.std
