"""Types of what `gate` writes."""

from typing import Literal

from hgmnet.config.base import Frozen
from hgmnet.config.evaluation import Where

MISSING = "missing"


class CheckResult(Frozen):
    """One check of the gate: the value that was compared with the bound, and what came of it.

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
        """Whether there was a value, on enough images, to be compared with the bound."""
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
