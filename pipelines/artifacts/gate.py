"""Types of the file that `gate` writes."""

from typing import Literal

from pydantic import Field

from hgmnet.config.base import Frozen
from hgmnet.config.evaluation import Where

MISSING = "missing"


class CheckResult(Frozen):
    """Result of one check of the gate: a value compared with its bound.

    `where`: the subgroup, None for all images. `bound`: also the value of the baseline `above`,
    which the figure must exceed; None where the model has no such baseline. `n`: number of images
    of the value, None without a figure; fewer than `min_n` fail. `reason`: `missing` where
    the model has no such figure.
    """

    metric: str
    on: Literal["point", "conservative"]
    where: Where | None
    min_n: int
    bound: float | None
    above: str = ""
    value: float | None
    n: int | None
    passed: bool
    reason: str

    @property
    def judged(self) -> bool:
        """Whether there is a value on at least `min_n` images."""
        return self.value is not None and self.n is not None and self.n >= self.min_n


class ClauseResult(Frozen):
    """Result of a clause of the change plan for this model.

    `clause`: its key in the plan, such as `fixed.classes`. `status`: `held`; `breached`: the model
    is outside the plan; `due`: it must be validated again (only `revalidate.*`); `not judged`: it
    needs the test split, which was not evaluated, or facts missing in images.csv. `reason`: never
    empty.
    """

    clause: str
    status: Literal["held", "breached", "due", "not judged"]
    reason: str


class GateResult(Frozen):
    """The gate's verdict with its checks and clauses.

    `passed`: every check holds and no clause of the plan is breached. `checks`: of params.yaml.
    `plan`: every clause of the plan of `registry` in pccp.yaml, `intended_use`: as it states;
    `plan_sha256`: hash of that file.
    `model`: identity of the judged model, `files`: sha256 by name of the files of its evaluation;
    empty in older files, which `register` refuses.
    """

    data: str
    test_sha: str
    status: Literal["passed", "failed", "not judged"]
    checks: tuple[CheckResult, ...]
    registry: str
    plan_sha256: str
    plan: tuple[ClauseResult, ...]
    intended_use: str = ""
    model: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def breached(self) -> tuple[ClauseResult, ...]:
        """The clauses that the model breaches."""
        return tuple(clause for clause in self.plan if clause.status == "breached")

    @property
    def due(self) -> tuple[ClauseResult, ...]:
        """The clauses that require a new validation."""
        return tuple(clause for clause in self.plan if clause.status == "due")
