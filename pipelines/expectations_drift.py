"""The Great Expectations suite of drift: every column stays within its bound of the reference."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.row_conditions import Column

from hgmnet.drift import Shift
from pipelines.expectations import Outcome, Rule, check


def check_drift(shifts: Sequence[Shift], docs: Path) -> tuple[Outcome, ...]:
    """Judge shifts, and write Great Expectations' own pages about them.

    Args:
        shifts: a column each.
        docs: folder of the pages; whatever is in it is replaced.

    Returns:
        An outcome a shift, in their order.
    """
    table = pd.DataFrame([shift.model_dump() for shift in shifts])
    return check("drift", table, "column", [_rule(shift) for shift in shifts], docs)


def _rule(shift: Shift) -> Rule:
    within = partial(gxe.ExpectColumnValuesToBeBetween, column="statistic", max_value=shift.bound)
    return Rule(
        f"{shift.column} is distributed as in the reference: "
        f"Kolmogorov-Smirnov distance at most {shift.bound:.3f}",
        within,
        severity="warning",
        rows=Column("column") == shift.column,
        remedy="look at the images; a model's figures may not hold for them",
        tells=True,
    )
