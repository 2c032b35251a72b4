"""A measured figure."""

from hgmnet.config import Frozen


class Figure(Frozen):
    """A metric with its 95 % interval; `value` is None where it can't be computed.

    `n` images in `groups` groups went into it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
