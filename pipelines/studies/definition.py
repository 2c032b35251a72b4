"""What a study is: its runs (settings, fold, seed), their models and rows, and what is compared."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.params import Params
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
    """One training of a study and how its fold is judged.

    `variant`: what it differs in. `fold`: from 0. `sides`: of every image of the prepared set.
    `given`: the map put in the place of the coarse net's when the fold is judged. `leaky`: images
    of one group may stand on both sides; only a study of that very leak has such cells.
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
        """For people."""
        return f"{self.variant}, fold {self.fold + 1}, seed {self.seed}"

    @property
    def recipe(self) -> Recipe:
        """What the model is trained by: in one process, so that one device holds one cell."""
        alone = {"seed": self.seed, "devices": 1, "num_nodes": 1, "strategy": "auto"}
        train = self.params.train.model_copy(update=alone)
        return Recipe(self.params.data, self.params.prepare, self.params.model, train)

    def count(self, side: str) -> int:
        """How many images are on a side."""
        return self.sides.count(side)


@dataclass(frozen=True)
class StudyContext:
    """What the cells of all studies share: images, and where models and rows are kept."""

    workspace: Workspace
    store: PreparedDataset

    @property
    def home(self) -> Path:
        """Everything that studies keep."""
        return self.workspace.state / "studies"

    def model_folder(self, cell: StudyRun) -> Path:
        """Where a cell's model lies; cells that differ in `given` alone have one between them."""
        return self.home / "models" / self._model_mark(cell)

    def rows_file(self, cell: StudyRun) -> Path:
        """Where the rows of a cell's fold lie."""
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
        """Fingerprints of recipes: each reads the prepared images once."""
        return {}

    @cached_property
    def _judging(self) -> str:
        """Of the code that calibrates, predicts and counts, and of the images it is counted on."""
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
"""What is told of every variant, of what it learns."""

SHORT = ("lesion_dice", "accuracy", "auroc_malignant")
"""What the printed table shows."""

SMOKE_IMAGES = 16
"""Of each class, at most, in a smoke run."""


@dataclass(frozen=True)
class Size:
    """How large a study is.

    `everything`: the test split takes part; it is an opening. `smoke`: a few images and one epoch,
    to see that it runs; its figures mean nothing.
    """

    folds: int
    seeds: int
    everything: bool
    smoke: bool

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: fewer than 2 folds or 1 seed.
        """
        if self.folds < 2:
            raise ConfigError(f"--folds {self.folds}: expected 2 or more")
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds}: expected 1 or more")


@dataclass(frozen=True)
class StudyPart:
    """Some of the images, for which all figures are told once more; `images`: their names."""

    name: str
    images: frozenset[str]


@dataclass(frozen=True)
class Study:
    """A study, declared.

    `name`: of its command and folder. `title`, `question`: for its page. `cells`: all of them.
    `variants`: name to what it is, in the order of the table. `reference`: the variant that the
    others are compared with, None where there is one alone. `notes`: what may not be concluded.
    `size`: how large it is. `parts`: of the images, beside all. `facts`: what was found out about
    the images. `steps`: where variants are steps of one thing, how many images each was trained on,
    on average.
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
        """Below reports/studies/; a smoke run, or one with test, takes no other one's place."""
        smoke, everything = "-smoke" * self.size.smoke, "-all" * self.size.everything
        return f"{self.name}{smoke}{everything}"


@dataclass(frozen=True)
class FoldAssignment:
    """Images assigned to folds, for every study alike: it follows split.seed alone."""

    entries: tuple[PreparedImage, ...]
    folds: NDArray[np.int64]
    params: Params
    grouped: bool = True

    def sides(self, fold: int) -> Sides:
        """The sides of a fold; the inner validation part has the share that val has of the rest."""
        fractions = self.params.split.fractions
        parts = max(2, round((fractions.train + fractions.val) / fractions.val))
        seed = self.params.split.seed
        return nested_fold(
            self.entries, self.folds, fold, parts=parts, seed=seed, grouped=self.grouped
        )


def assign(
    store: PreparedDataset, params: Params, size: Size, *, grouped: bool = True
) -> FoldAssignment:
    """Assign the images that take part to folds.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    few = SMOKE_IMAGES if size.smoke else None
    entries = pool(store.entries, everything=size.everything, per_class=few)
    folds = assign_folds(entries, size.folds, params.split.seed, grouped=grouped)
    return FoldAssignment(entries, folds, params, grouped)


def sized(params: Params, size: Size) -> Params:
    """The settings of a study: params.yaml's, or those of a smoke run."""
    if not size.smoke:
        return params
    batch = min(params.train.batch_size, 8)
    train = params.train.model_copy(update={"epochs": 1, "batch_size": batch})
    evaluate = params.evaluate.model_copy(update={"draws": 200})
    return params.model_copy(update={"train": train, "evaluate": evaluate})


def seeds(params: Params, size: Size) -> Sequence[int]:
    """From train.seed on."""
    return range(params.train.seed, params.train.seed + size.seeds)
