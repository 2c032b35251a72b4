"""Settings of the stages after training: calibrate, evaluate, gate, report."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from hgmnet.config.base import SMALL, SUBGROUP, WORD, Frozen, Natural, Seed


class Calibrate(Frozen):
    """The aims of the operating point on val (docs/thresholds.md).

    `normal_fp_price`: how much lesion Dice a false lesion on every normal is worth.
    `normal_means_no_mask`: the decision normal empties the mask. `no_mask_means_normal`: an empty
    mask turns a decision that is not malignant into normal. `mirror`: average with the mirrored
    image. `scales`: magnifications of further views, for uncertainty only; each costs one pass
    through the network per predicted image. `refer_share`: the maximum fraction of val images
    referred to a reader; 0: none.
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
    """`include_test`: compute figures on the test split; each evaluation on it is counted."""

    include_test: bool
    draws: Annotated[int, Field(ge=100)]
    seed: Seed


class Where(Frozen):
    """Images with `value` in `column` of reports/evaluation/subgroups.json."""

    column: str
    value: str


def _where(value: Any) -> str:
    return SUBGROUP if isinstance(value, dict | Where) else WORD


Baseline = Literal["majority", "lesion_area", "image_size"]
"""Predictors without image content (`hgmnet.evaluation.baselines`)."""
BASELINE_METRICS: dict[Baseline, tuple[str, ...]] = {
    "majority": ("accuracy",),
    "lesion_area": ("accuracy", "auroc_malignant"),
    "image_size": ("accuracy", "auroc_malignant"),
}
"""Metrics that a baseline has a figure for."""


class Check(Frozen):
    """A condition on a figure: at least (or at most) `bound`, or better than the baseline `above`.

    `on`: the point, or the end of the 95 % interval that is worse for the model. `where`: all
    images, or one subgroup. `min_n`: with fewer images the check fails, whatever the figure; at
    least 30 for a subgroup.
    """

    metric: str
    bound: float | None = None
    above: Baseline | None = None
    on: Literal["point", "conservative"]
    where: Annotated[
        Annotated[Literal["all"], Tag(WORD)] | Annotated[Where, Tag(SUBGROUP)],
        Discriminator(_where),
    ]
    min_n: Natural

    @property
    def subgroup(self) -> Where | None:
        """The subgroup that is checked, if any."""
        return self.where if isinstance(self.where, Where) else None

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if (self.bound is None) == (self.above is None):
            raise ValueError("expected either `bound`, a number, or `above`, a baseline")
        if self.above and self.metric not in BASELINE_METRICS[self.above]:
            known = " or ".join(BASELINE_METRICS[self.above])
            raise ValueError(f"above: {self.above} is a baseline of {known}, not of {self.metric}")
        if self.subgroup and self.above:
            raise ValueError("above: the baselines are of all images; expected where: all")
        if self.subgroup and self.min_n < SMALL:
            msg = f"min_n: a check of a subgroup needs at least {SMALL} images, got {self.min_n}"
            raise ValueError(msg)
        return self


class Gate(Frozen):
    """The gate's checks, all of which must pass."""

    checks: Annotated[tuple[Check, ...], Field(min_length=1, strict=False)]


class Report(Frozen):
    """`images`: show pictures of patients, and maps of them, in the report."""

    images: bool
