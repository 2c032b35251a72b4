"""What a study is: its cells, what they are compared with, and what is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hgmnet.config import Params
from hgmnet.data.store import Entry, Store
from hgmnet.errors import ConfigError
from hgmnet.folds import deal_folds
from hgmnet.nested import Sides, nest, pool
from pipelines.studies.cell import Cell

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
class Part:
    """Some of the images, for which all figures are told once more; `images`: their names."""

    name: str
    images: frozenset[str]


@dataclass(frozen=True)
class Study:
    """A study, declared.

    `name`: of its command and folder. `title`, `question`: for its page. `cells`: all of them.
    `variants`: name to what it is, in the order of the table. `reference`: the variant that the
    others are held against, None where there is one alone. `notes`: what may not be concluded.
    `size`: how large it is. `parts`: of the images, beside all. `facts`: what was found out about
    the images. `steps`: where variants are steps of one thing, how many images each was trained on,
    on average.
    """

    name: str
    title: str
    question: str
    cells: tuple[Cell, ...]
    variants: Mapping[str, str]
    reference: str | None
    notes: tuple[str, ...]
    size: Size
    parts: tuple[Part, ...] = ()
    facts: tuple[str, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Below reports/studies/; a smoke run, or one with test, takes no other one's place."""
        smoke, everything = "-smoke" * self.size.smoke, "-all" * self.size.everything
        return f"{self.name}{smoke}{everything}"


@dataclass(frozen=True)
class Dealt:
    """Images dealt into folds, for every study alike: the deal follows split.seed alone."""

    entries: tuple[Entry, ...]
    folds: NDArray[np.int64]
    params: Params
    grouped: bool = True

    def sides(self, fold: int) -> Sides:
        """The sides of a fold; the inner validation part has the share that val has of the rest."""
        fractions = self.params.split.fractions
        parts = max(2, round((fractions.train + fractions.val) / fractions.val))
        seed = self.params.split.seed
        return nest(self.entries, self.folds, fold, parts=parts, seed=seed, grouped=self.grouped)


def deal(store: Store, params: Params, size: Size, *, grouped: bool = True) -> Dealt:
    """Deal the images that take part into folds.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    few = SMOKE_IMAGES if size.smoke else None
    entries = pool(store.entries, everything=size.everything, per_class=few)
    folds = deal_folds(entries, size.folds, params.split.seed, grouped=grouped)
    return Dealt(entries, folds, params, grouped)


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
