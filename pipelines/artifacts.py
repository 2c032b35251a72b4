"""What crosses a stage: a type for each file, `pipelines.files` reads and writes them."""

from typing import Literal

from hgmnet.config import SMALL, Frozen, Where
from hgmnet.figure import Figure


class FailedExpectation(Frozen):
    """An expectation that did not hold, and the files that broke it (all of them)."""

    expectation: str
    severity: Literal["critical", "warning"]
    meaning: str
    files: tuple[str, ...]


class LabelConflict(Frozen):
    """Copies with contradictory labels: the label by image, and which are copies of one another.

    `links` may name an image that curation excluded; pairs.csv has the evidence for each.
    """

    labels: dict[str, str]
    links: tuple[tuple[str, str], ...]


class ValidationReport(Frozen):
    """What validation found, sorted, without times; `passed`: nothing critical failed.

    `shares`: by what was seen (burned-in marks, colour) and class, the share of usable images.
    """

    data: str
    passed: bool
    images: int
    per_class: dict[str, int]
    shares: dict[str, dict[str, float]]
    expectations: int
    failures: tuple[FailedExpectation, ...]
    conflicts: tuple[LabelConflict, ...]


class TrainRun(Frozen):
    """How the weights were made; a fact of that training, which a cached model keeps.

    `seconds`: of the process that ended it; what a killed one did before is not in it. `params`:
    train's sections, with dotted keys. `packages`: installed versions by name.
    """

    git_commit: str
    git_dirty: bool
    device: str
    processes: int
    threads: int
    seconds: float
    python: str
    packages: dict[str, str]
    params: dict[str, str]


class Evaluation(Frozen):
    """Figures by split; `test` is None where the test split was not opened.

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
    `kept_error`: mean error (`hgmnet.certainty.errors`) of those and of the rest. `risk_areas`:
    area under the risk-coverage curve (`hgmnet.referral.risk_area`) of the images ordered by the
    uncertainty that is served (`uncertainty`), by either part of it, and `at_random`; smaller is
    better.
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


class OpeningNumber(Frozen):
    """Which opening of this test split, counted in this checkout, first showed this model to it.

    1 is the first; None where the test split was not opened. It is not the count of openings, which
    grows on: `hgmnet register` adds up what all checkouts did.
    """

    test_sha: str
    number: int | None


MISSING = "missing"


class CheckResult(Frozen):
    """One check of the gate: the value that was held against the bound, and what came of it.

    `where`: the subgroup, None for all images. `n`: images behind the value, None where there is no
    figure; fewer than `min_n` fail. `reason`: `missing` where the model has no such figure.
    """

    metric: str
    on: Literal["point", "conservative"]
    where: Where | None
    min_n: int
    bound: float
    value: float | None
    n: int | None
    passed: bool
    reason: str

    @property
    def judged(self) -> bool:
        """Whether there was a value, on enough images, to be held against the bound."""
        return self.value is not None and self.n is not None and self.n >= self.min_n


class ClauseResult(Frozen):
    """What a clause of the change plan says of this model.

    `clause`: where it stands in the plan, as `fixed.classes`. `status`: `held`; `breached`: the
    model is outside the plan; `due`: it must be validated again (only `revalidate.*`); `not
    judged`: it needs the test split, which was not opened, or what images.csv does not tell.
    `reason`: in words, always.
    """

    clause: str
    status: Literal["held", "breached", "due", "not judged"]
    reason: str


class GateResult(Frozen):
    """The gate's verdict and everything behind it.

    `passed`: every check holds and no clause of the plan is breached. `checks`: those that
    params.yaml asks for. `plan`: every clause of the plan of `registry` in pccp.yaml, whose sha256
    is `plan_sha256`.
    """

    data: str
    test_sha: str
    status: Literal["passed", "failed", "not judged"]
    checks: tuple[CheckResult, ...]
    registry: str
    plan_sha256: str
    plan: tuple[ClauseResult, ...]

    @property
    def breached(self) -> tuple[ClauseResult, ...]:
        """The clauses that put the model outside the plan."""
        return tuple(clause for clause in self.plan if clause.status == "breached")

    @property
    def due(self) -> tuple[ClauseResult, ...]:
        """The clauses that ask for a new validation."""
        return tuple(clause for clause in self.plan if clause.status == "due")
