"""risks.yaml: hazards of a registered model, their measures, and what checks each measure.

In the form of a risk management file (ISO 14971): a person writes it, and nothing is derived.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hgmnet.config.base import Frozen, Name, load_settings


class RiskCheck(Frozen):
    """One of: a metric of the gate, a clause of the change plan, a test of the repository."""

    gate: str = ""
    clause: str = ""
    test: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.gate, self.clause, self.test))) != 1:
            raise ValueError("expected one of: gate, clause, test")
        return self


class Risk(Frozen):
    """A hazard with its cause, the measure against it, and the checks of the measure."""

    id: str
    hazard: str
    cause: str
    measure: str
    checks: Annotated[tuple[RiskCheck, ...], Field(strict=False)]


class Risks(Frozen):
    """All of risks.yaml: `models` by the name of the registered model."""

    version: Literal[1]
    models: dict[Name, Annotated[tuple[Risk, ...], Field(strict=False)]]


def load_risks(path: Path) -> Risks | None:
    """Read the risks, None if there are none; ConfigError, naming every wrong key, if damaged."""
    return load_settings(path, Risks, "") if path.exists() else None
