"""How long a row of trainings will take, from what was measured so far."""

from collections.abc import Callable
from time import monotonic


class Pace:
    """Times epochs and seeds; every method that returns a line returns None where it has none."""

    def __init__(self, seeds: int, epochs: int, now: Callable[[], float] = monotonic) -> None:
        """Take how many seeds are to be trained, of how many epochs each.

        Args:
            seeds: those that are not finished yet.
            epochs: of each.
            now: a clock, s.
        """
        self._seeds, self._epochs, self._now = seeds, epochs, now
        self._told = False
        self.start()

    def start(self) -> None:
        """Begin a seed, or go on with one."""
        self._began = self._last = self._now()
        self._measured = 0

    def after_epoch(self, epoch: int) -> str | None:
        """Once, after the second epoch (the first is slower): what a seed and all of them take."""
        now = self._now()
        took, self._last = now - self._last, now
        self._measured += 1
        if self._told or (self._measured == 1 and epoch < self._epochs):
            return None
        self._told = True
        left = took * (self._epochs - epoch + self._epochs * (self._seeds - 1))
        return f"{span(took)} an epoch, about {span(took * self._epochs)} a seed, {span(left)} left"

    def after_seed(self) -> str | None:
        """What a seed took, and what those that follow will; of one gone on with, by its epochs."""
        whole = (self._now() - self._began) * self._epochs / max(self._measured, 1)
        self._seeds -= 1
        self._told = True
        if not self._seeds:
            return None
        return f"{self._seeds} to go at {span(whole)} each: about {span(whole * self._seeds)}"


def span(seconds: float) -> str:
    """A time for people: `0.4 s`, `50 s`, `12 min`, `3.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """How many: `1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
