"""Types of the files that `evaluate` writes."""

from hgmnet.config.base import SMALL, Frozen
from hgmnet.metrics.bootstrap import Figure


class Evaluation(Frozen):
    """Figures by split, `test` None if not evaluated; `model`: identity of the evaluated model."""

    data: str
    model: str
    test_sha: str
    val: dict[str, Figure]
    test: dict[str, Figure] | None
    baselines: dict[str, Figure]


class Subgroup(Frozen):
    """The figures of the images with one value (`small`) of one column (`lesion_size`)."""

    column: str
    value: str
    figures: dict[str, Figure]

    def small(self, metric: str) -> bool:
        """Whether a figure is based on too few images to be conclusive."""
        return self.figures[metric].n < SMALL


class Subgroups(Frozen):
    """Figures by subgroup, on test, or val if test was not evaluated."""

    data: str
    test_sha: str
    split: str
    groups: tuple[Subgroup, ...]


class CoveragePoint(Frozen):
    """The figures of the most certain `share` of the images, 0 < share <= 1."""

    share: float
    figures: dict[str, Figure]


class Certainty(Frozen):
    """Relation of uncertainty and error, on test, or val if test was not evaluated.

    `refer_above`: uncertainty above which an image is referred to a person, chosen on val; None
    where no threshold was worth it. `referred`: fraction of the images above it. `referred_error`,
    `kept_error`: mean error of those and of the rest, as in `selective_prediction.errors`.
    `risk_areas`: area under the risk-coverage curve, with images ordered by the served
    `uncertainty`, by each of its parts, and `at_random`; smaller is better.
    """

    data: str
    split: str
    refer_above: float | None
    referred: float
    referred_error: float | None
    kept_error: float | None
    risk_areas: dict[str, float]
    points: tuple[CoveragePoint, ...]


class Ruled(Frozen):
    """The figures as served with these consistency rules, on or off."""

    normal_means_no_mask: bool
    no_mask_means_normal: bool
    figures: dict[str, Figure]


class Consistency(Frozen):
    """Effect of the consistency rules, on and off, on test, or val if test was not evaluated."""

    data: str
    split: str
    rules: tuple[Ruled, ...]
