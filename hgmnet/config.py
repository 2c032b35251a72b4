"""params.yaml as typed, frozen sections: no defaults, no unknown keys, all problems at once.

There are no defaults here on purpose: DVC sees a change only in what stands in params.yaml.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hgmnet.errors import ConfigError

NORMAL = "normal"
MALIGNANT = "malignant"
UNCLASSIFIED = "unclassified"
"""What stands in a class's place where a model tells none."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Natural = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**24)]
NAME = r"^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tasks = Literal["joint", "segmentation", "classification"]
Gates = Literal["tied", "free", "self", "multiply", "input", "reverse", "uncertainty", "none"]


T = TypeVar("T", bound=BaseModel)


class Frozen(BaseModel):
    """A value that can't be changed and refuses what it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(Frozen):
    """Which data set and which classes: `normal` has no lesion, `malignant` is the positive."""

    name: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if MALIGNANT not in self.classes or len(set(self.classes)) != len(self.classes):
            msg = f"classes: expected different names with `{MALIGNANT}` among them"
            raise ValueError(msg)
        if UNCLASSIFIED in self.classes:
            msg = f"classes: `{UNCLASSIFIED}` means that a model tells no class; take another name"
            raise ValueError(msg)
        return self


class Phantom(Frozen):
    """The generated data set: images a class, sides in px, planted near-copies."""

    seed: Seed
    benign: Count
    malignant: Count
    normal: Count
    copies: Count
    width: Annotated[int, Field(ge=64, le=2048)]
    height: Annotated[int, Field(ge=64, le=2048)]


class Validate(Frozen):
    """What a data set must be to be trained on.

    Sides in px; images a class, and of the largest class to one of the smallest; the share of an
    image that a lesion covers, and the parts that its mask may have.
    """

    min_side: Natural
    max_side: Natural
    min_per_class: Natural
    max_imbalance: Annotated[float, Field(ge=1)]
    min_lesion: Fraction
    max_lesion: Fraction
    max_lesion_parts: Natural


class Fractions(Frozen):
    """Shares of the images; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            msg = f"train, val and test add up to {self.train + self.val + self.test:g}, not 1"
            raise ValueError(msg)
        return self


class Split(Frozen):
    """How groups are dealt out.

    `conflicts`: where copies with contradictory labels go. `max_lost`: the share of the images on a
    side that may be gone since the last time; more looks like half an export.
    """

    seed: Seed
    fractions: Fractions
    conflicts: Literal["exclude", "train"]
    max_lost: Fraction


class Prepare(Frozen):
    """The square that the network sees: side in px, aspect ratio kept (letterbox) or stretched.

    No key may be called `size` or `nfiles`: DVC's run cache takes them for a file's and leaves them
    out of its hash, so that a change would bring back the old outputs.
    """

    side: Natural
    fit: Literal["letterbox", "stretch"]


class File(Frozen):
    """A file or model folder, below the repository, that must be the one with this sha256."""

    path: str
    sha256: Sha256


_WORD, _FILE = "<word>", "<file>"
_A_FILE = "{path: ..., sha256: ...}"


def _kind(value: Any) -> str:
    """Which of the two a setting is meant to be, so that an error tells of that one alone."""
    return _FILE if isinstance(value, dict | File) else _WORD


_AFile = Annotated[File, Tag(_FILE)]
EncoderWeights = Annotated[
    Annotated[Literal["imagenet", "none"], Tag(_WORD)] | _AFile, Discriminator(_kind)
]
InitFrom = Annotated[Annotated[Literal["none"], Tag(_WORD)] | _AFile, Discriminator(_kind)]


class Model(Frozen):
    """HGM-Net's shape.

    `encoder_weights`: random at the start (none), ImageNet's from their hub, or a file of them.
    `shared_encoder`: coarse and fine net have one encoder between them. `input`: channels that the
    encoders see; rgb is the grey channel three times. `decoder_channels` run from the deepest block
    to full resolution. `coarse`: there is a coarse net, else the fine one stands alone. `gate`:
    how the coarse map acts on the fine net (`hgmnet.models.gating`). `detach_coarse`: no gradient
    flows back through that map. `deep_supervision`: the fine decoder's blocks predict masks too.
    `class_scales`: how many of the deepest scales the classifier sees.
    """

    encoder: str
    encoder_weights: EncoderWeights
    shared_encoder: bool
    input: Literal["grey", "rgb"]
    decoder_channels: Annotated[
        tuple[Natural, ...], Field(min_length=5, max_length=5, strict=False)
    ]
    tasks: Tasks
    coarse: bool
    gate: Gates
    detach_coarse: bool
    deep_supervision: bool
    class_scales: Annotated[int, Field(ge=1, le=5)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @property
    def segments(self) -> bool:
        """Whether it learns masks."""
        return self.tasks != "classification"

    @property
    def classifies(self) -> bool:
        """Whether it learns the class."""
        return self.tasks != "segmentation"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        masks = self.coarse or self.gate != "none" or self.deep_supervision
        if self.tasks == "classification" and masks:
            msg = (
                "tasks: classification has no masks; set coarse: false, gate: none and "
                "deep_supervision: false"
            )
            raise ValueError(msg)
        if not self.coarse and self.gate not in {"none", "self"}:
            msg = f"gate: {self.gate} needs a coarse map; set coarse: true, or gate: none or self"
            raise ValueError(msg)
        if self.shared_encoder and not self.coarse:
            msg = "shared_encoder: without a coarse net there is nothing to share; set it to false"
            raise ValueError(msg)
        return self


class LossWeights(Frozen):
    """Weights of the terms beside the fine mask's, which is 1; `deep`: of deep supervision's."""

    coarse: Annotated[float, Field(ge=0)]
    deep: Annotated[float, Field(ge=0)]
    classification: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class Augment(Frozen):
    """Ranges of the random changes; 0 turns one off. Lengths are shares of the image side."""

    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, lt=1)]
    elastic: Annotated[float, Field(ge=0, lt=0.5)]
    gamma: Annotated[float, Field(ge=0, lt=1)]
    contrast: Annotated[float, Field(ge=0, lt=1)]
    noise: Annotated[float, Field(ge=0, lt=1)]
    mirror: bool


class Train(Frozen):
    """How the weights are found.

    `init_from`: a trained model to start from, by the sha256 that its report shows. `batch_size`:
    images a step, over all processes. `select`: keep the moving average of the weights, or the
    last. `compile`: by torch.compile; pays on a GPU after some minutes, not on a CPU
    (docs/speed.md). `resident_gib`: prepared images of up to so many GiB live on the training
    device; a larger set is read from the disk by `workers` threads. `devices`: processes on each
    machine, a GPU each; auto is every GPU, or one process on a CPU. `num_nodes`: machines.
    `strategy`: auto joins several processes by DDP and leaves one alone, ddp wraps one too.
    """

    seed: Seed
    init_from: InitFrom
    epochs: Natural
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(gt=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    select: Literal["ema", "last"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    accelerator: Literal["auto", "cpu", "gpu"]
    compile: bool
    resident_gib: Annotated[float, Field(ge=0)]
    workers: Natural
    devices: Literal["auto"] | Natural
    num_nodes: Natural
    strategy: Literal["auto", "ddp"]
    loss: LossWeights
    augment: Augment


class Calibrate(Frozen):
    """What the operating point aims at on val (docs/operating.md).

    `normal_fp_price`: how much lesion Dice a false lesion on every normal is worth.
    `normal_means_no_mask`: a decision for normal takes the mask away. `no_mask_means_normal`: where
    no mask is left, a decision that is not malignant becomes normal. `mirror`: average with the
    mirrored image. `scales`: magnifications of further views, which tell of uncertainty alone; each
    is a pass through the network, for every image served too. `refer_share`: of the val images, at
    most, that are referred to a person; 0: none.
    """

    malignant_sensitivity: Annotated[float, Field(gt=0, lt=1)]
    normal_fp_price: Annotated[float, Field(ge=0)]
    normal_means_no_mask: bool
    no_mask_means_normal: bool
    mirror: bool
    scales: Annotated[
        tuple[Annotated[float, Field(ge=0.5, le=2)], ...], Field(max_length=8, strict=False)
    ]
    refer_share: Annotated[float, Field(ge=0, lt=1)]


class Evaluate(Frozen):
    """`open_test`: compute figures on the test split; each opening is counted."""

    open_test: bool
    draws: Annotated[int, Field(ge=100)]
    seed: Seed


SMALL = 30
"""A subgroup of fewer images is small: its figures are marked, and no bound may rest on it."""


class Where(Frozen):
    """The images with this value of this column of reports/evaluation/subgroups.json."""

    column: str
    value: str


_SUBGROUP = "<subgroup>"


def _where(value: Any) -> str:
    return _SUBGROUP if isinstance(value, dict | Where) else _WORD


class Check(Frozen):
    """A condition on a figure.

    `on`: the point, or the end of the 95 % interval that counts against the model. `where`: all
    images, or one subgroup. `min_n`: fewer images than this fail the check, whatever the figure; at
    least 30 for a subgroup.
    """

    metric: str
    bound: float
    on: Literal["point", "conservative"]
    where: Annotated[
        Annotated[Literal["all"], Tag(_WORD)] | Annotated[Where, Tag(_SUBGROUP)],
        Discriminator(_where),
    ]
    min_n: Natural

    @property
    def subgroup(self) -> Where | None:
        """The subgroup that it is about, if any."""
        return self.where if isinstance(self.where, Where) else None

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.subgroup and self.min_n < SMALL:
            msg = f"min_n: a check of a subgroup needs at least {SMALL} images, got {self.min_n}"
            raise ValueError(msg)
        return self


class Gate(Frozen):
    """Every check must pass."""

    checks: Annotated[tuple[Check, ...], Field(min_length=1, strict=False)]


class Report(Frozen):
    """`images`: show pictures of patients, and maps of them, in the report."""

    images: bool


class Registry(Frozen):
    """The MLflow registered model, one a data set; `approval`: a person must approve promotion."""

    name: Name
    approval: bool


Compared = Literal["served_lesion_dice", "accuracy", "served_sensitivity_malignant"]
"""What two versions can be compared by: of what they serve, and the likeliest class."""


class Promotion(Frozen):
    """When a challenger takes the champion's place.

    `margins`: how much of each figure may be lost at most. `primary`: the figure, one of them, that
    must be better. `draws`, `seed`: of the paired bootstrap.
    """

    primary: Compared
    margins: dict[Compared, Positive]
    draws: Annotated[int, Field(ge=1000)]
    seed: Seed

    @model_validator(mode="after")
    def _among(self) -> Self:
        if self.primary not in self.margins:
            msg = f"primary: {self.primary} is not among margins; give it one"
            raise ValueError(msg)
        return self


Timed = Literal[
    "default",
    "pull",
    "ingest",
    "validate",
    "split",
    "prepare",
    "train",
    "calibrate",
    "evaluate",
    "gate",
    "report",
    "publish",
]
"""What has a time of its own in `flow.timeout_minutes`."""
Block = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]


class Flow(Frozen):
    """How the flows run.

    `timeout_minutes`: what a stage may take, by its name, before it is ended; `default` is for
    those not named and for the data itself. `notify`: Prefect's notification blocks to tell, as
    `slack-webhook/ops`; what is secret in them stays there.
    """

    timeout_minutes: dict[Timed, Positive]
    notify: Annotated[tuple[Block, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _rest(self) -> Self:
        if "default" not in self.timeout_minutes:
            raise ValueError("timeout_minutes: default is missing")
        return self

    def limit_s(self, stage: str) -> float:
        """Seconds that a stage may take."""
        named = {str(name): minutes for name, minutes in self.timeout_minutes.items()}
        return 60 * named.get(stage, named["default"])


class Params(Frozen):
    """The whole of params.yaml, a field a section."""

    data: Data
    phantom: Phantom
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    prepare: Prepare
    model: Model
    train: Train
    calibrate: Calibrate
    evaluate: Evaluate
    gate: Gate
    report: Report
    registry: Registry
    promotion: Promotion
    flow: Flow

    def section(self, name: str) -> Frozen:
        """The section that params.yaml calls `name`.

        Raises:
            KeyError: there is no such section.
        """
        for field, info in type(self).model_fields.items():
            if name == (info.alias or field):
                section: Frozen = getattr(self, field)
                return section
        raise KeyError(name)


def load_params(path: Path) -> Params:
    """Read params.yaml (YAML 1.2, as DVC reads it: `1e-4` is a number).

    Raises:
        ConfigError: the file is absent, is not YAML, or has unknown, missing or ill-typed keys;
            the message names every one of them.
    """
    return load_settings(
        path, Params, "take a ready-made one: cp profiles/quickstart.yaml params.yaml"
    )


def load_settings(path: Path, kind: type[T], absent: str) -> T:
    """Read a file of settings as YAML 1.2.

    Args:
        path: the file.
        kind: what it must be.
        absent: what to do where there is no such file.

    Raises:
        ConfigError: as `load_params`.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; {absent}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}") from None
    except YAMLError as error:
        where = " ".join(str(error).split())
        msg = f"{path} is not YAML: {where}"
        raise ConfigError(msg) from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        msg = f"{path}: " + "; ".join(problems(error))
        raise ConfigError(msg) from None


def flat_settings(sections: Mapping[str, Frozen]) -> dict[str, str | float | bool]:
    """Every setting of some sections by its dotted name, as `train.loss.dice`; lists as text."""
    flat: dict[str, str | float | bool] = {}
    trees = [(name, part.model_dump(mode="json")) for name, part in sections.items()]
    while trees:
        prefix, tree = trees.pop(0)
        for key, value in tree.items():
            name = f"{prefix}.{key}"
            if isinstance(value, dict):
                trees.append((name, value))
            else:
                flat[name] = value if isinstance(value, float | bool) else str(value)
    return flat


def problems(error: ValidationError) -> Iterator[str]:
    """What is wrong with settings, a key each, in words."""
    for problem in error.errors(include_url=False):
        parts = (str(part) for part in problem["loc"] if part not in {_WORD, _FILE, _SUBGROUP})
        key = ".".join(parts) or "the file"
        yield f"{key}: {_said(problem)}"


def _said(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    got = f"got {problem['input']!r}"
    if problem["loc"][-1:] == (_WORD,):
        other = "{column: ..., value: ...}" if "where" in problem["loc"] else _A_FILE
        return f"expected {problem['ctx']['expected']} or {other}, {got}"
    return f"{problem['msg']}, {got}"
