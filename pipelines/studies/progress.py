"""How far a study is, and how long it will still take: its forecast, corrected as cells end."""

from collections.abc import Callable, Sequence
from time import monotonic

from pipelines.studies.pace import span


class Progress:
    """Times the cells of a study against their forecast."""

    def __init__(self, expected: Sequence[float], now: Callable[[], float] = monotonic) -> None:
        """Take what each cell is expected to take, s; 0 for one that is finished."""
        self._expected, self._now = list(expected), now
        self._taken = self._reckoned = 0.0
        self._index = 0
        self._began = now()

    def start(self, index: int) -> None:
        """Begin a cell."""
        self._index, self._began = index, self._now()

    def after_epoch(self, epoch: int, epochs: int) -> str:
        """What is left, by the epochs of this cell so far."""
        share = epoch / epochs
        taken = self._taken + self._now() - self._began
        reckoned = self._reckoned + share * self._expected[self._index]
        return self._left(taken, reckoned)

    def after_cell(self) -> str:
        """What the cell took, and what is left."""
        took = self._now() - self._began
        self._taken += took
        self._reckoned += self._expected[self._index]
        return f"{span(took)}; {self._left(self._taken, self._reckoned)}"

    def _left(self, taken: float, reckoned: float) -> str:
        pace = taken / reckoned if reckoned else 1.0
        left = max(sum(self._expected) - reckoned, 0.0)
        return f"about {span(left * pace)} left" if left else "none left"
