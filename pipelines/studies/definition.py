"""Definition of a study: its runs (settings, fold, seed), their files, and the comparison."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.params import Params
from hgmnet.config.training import Train
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.errors import ConfigError
from hgmnet.inference.maps import Map
from hgmnet.splitting.cross_validation import Sides, assign_folds, nested_fold, pool
from pipelines.artifacts.lineage import hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.stages.fingerprint import stage_deps
from pipelines.stages.train import Recipe

_OWN = (
    "pipelines/studies/training_run.py",
    "hgmnet/inference/maps.py",
    "hgmnet/splitting/cross_validation.py",
)
_JUDGES = ("calibrate", "evaluate")


@dataclass(frozen=True)
class StudyRun:
    """One training of a study and the evaluation of its fold.

    `variant`: name of the variant. `fold`: from 0. `sides`: split of each prepared image, in order.
    `given`: map used instead of the coarse net's at evaluation. `leaky`: images of one group may be
    in different splits; only the study of leakage has such runs.
    """

    variant: str
    fold: int
    seed: int
    params: Params
    sides: Sides = field(repr=False)
    given: Map = "own"
    leaky: bool = False

    @property
    def name(self) -> str:
        """Display name of the run."""
        return f"{self.variant}, fold {self.fold + 1}, seed {self.seed}"

    @property
    def recipe(self) -> Recipe:
        """Recipe of the training: one process, so that a device trains one run."""
        alone = {"seed": self.seed, "devices": 1, "num_nodes": 1, "strategy": "auto"}
        train = self.params.train.model_copy(update=alone)
        return Recipe(self.params.data, self.params.prepare, self.params.model, train)

    def count(self, side: str) -> int:
        """Number of images in a split."""
        return self.sides.count(side)


@dataclass(frozen=True)
class StudyContext:
    """Shared by the runs of all studies: images, and paths of models and rows."""

    workspace: Workspace
    store: PreparedDataset

    @property
    def home(self) -> Path:
        """Folder of all studies' files."""
        return self.workspace.state / "studies"

    def model_folder(self, cell: StudyRun) -> Path:
        """Path of a run's model folder; runs that differ only in `given` share one."""
        return self.home / "models" / self._model_mark(cell)

    def rows_file(self, cell: StudyRun) -> Path:
        """Path of the rows of a run's fold."""
        sections = cell.params.calibrate.model_dump_json()
        mark = _sha((self._model_mark(cell), self._judging, sections, cell.given))
        return self.home / "rows" / f"{mark}.csv"

    def _model_mark(self, cell: StudyRun) -> str:
        recipe = cell.recipe
        key = "".join(part.model_dump_json() for part in recipe.sections.values())
        if key not in self._made:
            self._made[key] = recipe.fingerprint(self.workspace.root)
        return _sha((self._made[key], *cell.sides))

    @cached_property
    def _made(self) -> dict[str, str]:
        """Cache of recipes' fingerprints: each reads the prepared images."""
        return {}

    @cached_property
    def _judging(self) -> str:
        """Hash of the code that calibrates, predicts and counts, and of the raw images."""
        root = self.workspace.root
        return _sha(f"{path}={hash_file(root / path)}" for path in _judged_by(root, self.workspace))


def _judged_by(root: Path, workspace: Workspace) -> list[str]:
    names = {dep for stage in _JUDGES for dep in stage_deps(root, stage)}
    deps = {name for name in names if not name.startswith(("models/", "data/"))} | {*_OWN}
    code = (root / dep for dep in deps)
    files = [*code, *workspace.raw.rglob("*")]
    return sorted(file.relative_to(root).as_posix() for file in files if file.is_file())


def _sha(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


METRICS = (
    "lesion_dice",
    "coarse_lesion_dice",
    "served_lesion_dice",
    "lesion_iou",
    "hd95",
    "served_normal_fp_rate",
    "accuracy",
    "balanced_accuracy",
    "auroc_malignant",
    "served_accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
    "ece",
)
"""Metrics of every variant, as far as it learns the task."""

SHORT = ("lesion_dice", "accuracy", "auroc_malignant")
"""Metrics of the printed table."""

SMOKE_IMAGES = 16
"""Maximum number of images per class in a smoke run."""


@dataclass(frozen=True)
class Size:
    """Size of a study.

    `everything`: the test split takes part; it counts as a test evaluation. `smoke`: a few images
    and one epoch, to check that the study runs; its figures are meaningless.
    """

    folds: int
    seeds: int
    everything: bool
    smoke: bool

    def __post_init__(self) -> None:
        """Raise ConfigError for fewer than 2 folds or 1 seed."""
        if self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: expected 2 or more")
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds}: expected 1 or more")

    def of(self, params: Params) -> Params:
        """Return the settings of the study: `params`, or reduced ones for a smoke run."""
        if not self.smoke:
            return params
        batch = min(params.train.batch_size, 8)
        train = params.train.model_copy(update={"epochs": 1, "batch_size": batch})
        evaluate = params.evaluate.model_copy(update={"draws": 200})
        return params.model_copy(update={"train": train, "evaluate": evaluate})

    def runs(self, params: Params) -> Iterator[tuple[int, int]]:
        """Yield (seed, fold) of each training of a variant; `apart` seeds, from train.seed on."""
        return product(apart(params.train, self.seeds), range(self.folds))


def apart(train: Train, count: int) -> range:
    """Seeds of `count` trainings from `train.seed` on, of which no two share a network."""
    return range(train.seed, train.seed + count * train.members, train.members)


@dataclass(frozen=True)
class StudyPart:
    """A subset of the images with its own figures; `images`: their names."""

    name: str
    images: frozenset[str]


@dataclass(frozen=True)
class Study:
    """Definition of a study.

    `name`: of its command and folder. `title`, `question`: for its page. `cells`: all runs.
    `variants`: name to description, in the order of the table. `reference`: the variant that the
    others are compared with; None with a single variant. `notes`: limits of the conclusions.
    `parts`: subsets of the images with figures beside those of all. `facts`: findings about the
    images. `steps`: for a learning curve, the mean number of training images per variant.
    """

    name: str
    title: str
    question: str
    cells: tuple[StudyRun, ...]
    variants: Mapping[str, str]
    reference: str | None
    notes: tuple[str, ...]
    size: Size
    parts: tuple[StudyPart, ...] = ()
    facts: tuple[str, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of the folder below reports/studies/; smoke runs and runs with test have another."""
        smoke, everything = "-smoke" * self.size.smoke, "-all" * self.size.everything
        return f"{self.name}{smoke}{everything}"


@dataclass(frozen=True)
class FoldAssignment:
    """Fold of each image, (N,) int64; equal for all studies, as it depends on split.seed alone."""

    entries: tuple[PreparedImage, ...]
    folds: NDArray[np.int64]
    params: Params
    grouped: bool = True

    def sides(self, fold: int) -> Sides:
        """Split of each image in a fold; the inner val has val's fraction of train and val."""
        fractions = self.params.split.fractions
        parts = max(2, round((fractions.train + fractions.val) / fractions.val))
        seed = self.params.split.seed
        return nested_fold(
            self.entries, self.folds, fold, parts=parts, seed=seed, grouped=self.grouped
        )


def assign(
    store: PreparedDataset, params: Params, size: Size, *, grouped: bool = True
) -> FoldAssignment:
    """Assign images to folds; ConfigError if a class has fewer images than there are folds."""
    few = SMOKE_IMAGES if size.smoke else None
    entries = pool(store.entries, everything=size.everything, per_class=few)
    folds = assign_folds(entries, size.folds, params.split.seed, grouped=grouped)
    return FoldAssignment(entries, folds, params, grouped)
