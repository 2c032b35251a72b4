"""Types of what `evaluate` and `calibrate` write."""

from hgmnet.config.base import SMALL, Frozen
from hgmnet.metrics.bootstrap import Figure


class Evaluation(Frozen):
    """Figures by split; `test` is None where the test split was not evaluated.

    `model`: the hash that the model is known by that was asked.
    """

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
        """Whether a figure rests on too few images to say anything."""
        return self.figures[metric].n < SMALL


class Subgroups(Frozen):
    """Where the model is better and worse, on the split whose figures lead."""

    data: str
    test_sha: str
    split: str
    groups: tuple[Subgroup, ...]


class CoveragePoint(Frozen):
    """The figures of the most certain `share` of the images, 0 < share <= 1."""

    share: float
    figures: dict[str, Figure]


class Certainty(Frozen):
    """Whether uncertainty tells where the model errs, on the split whose figures lead.

    `refer_above`: the bound, chosen on val, above which an image is referred to a person; None
    where none was worth it. `referred`: share of the images above it. `referred_error`,
    `kept_error`: mean error of those and of the rest, as `selective_prediction.errors` has it.
    `risk_areas`: area under the risk-coverage curve of the images ordered by the uncertainty that
    is served (`uncertainty`), by either part of it, and `at_random`; smaller is better.
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
    """What the consistency rules do, on the split whose figures lead, each on and off."""

    data: str
    split: str
    rules: tuple[Ruled, ...]


class MaskPoint(Frozen):
    """On val: what a mask threshold and a minimum area (share of the image) give, as served.

    `lesion_dice`, `normal_fp_rate`: None where val has no image with a lesion, or none without.
    """

    mask_threshold: float
    min_area: float
    lesion_dice: float | None
    normal_fp_rate: float | None


class MaskCurve(Frozen):
    """The mask operating points looked at on val, the plain one first, and the one chosen.

    For a model that tells no mask there is none.
    """

    points: tuple[MaskPoint, ...]
    chosen: MaskPoint | None


class EvaluationNumber(Frozen):
    """Which evaluation on this test split, counted in this checkout, first showed this model to it.

    1 is the first; None where the test split was not evaluated. The count of all evaluations grows
    on: `hgmnet register` adds up what all checkouts did.
    """

    test_sha: str
    number: int | None
