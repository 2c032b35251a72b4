"""Progress of long work: a bar on stderr with count, rate and time left; silent elsewhere."""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")


def bar(what: str, total: float, unit: str) -> "tqdm[None]":
    """Open a bar that disappears when it is closed; none is shown if stderr is not a terminal."""
    from tqdm import tqdm

    return tqdm(desc=what, total=total, unit=unit, disable=None, leave=False, dynamic_ncols=True)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield items, such as images, with a bar; `total`: their number, by default `len(items)`."""
    count = len(items) if isinstance(items, Collection) else total
    with bar(what, count or 0, " images") as shown:
        for item in items:
            yield item
            shown.update()


def batches(count: int, size: int, what: str) -> Iterator[slice]:
    """Yield slices of `size` of `count` images, with a bar."""
    with bar(what, count, " images") as shown:
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield slice(start, stop)
            shown.update(stop - start)


def span(seconds: float) -> str:
    """Format a duration: `0.4 s`, `50 s`, `12 min`, `3.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def left(seconds: float) -> str:
    """Format the time left: `about 12 min left`, or `none left`."""
    return f"about {span(seconds)} left" if seconds else "none left"
