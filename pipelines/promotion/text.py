"""A promotion in words, for a terminal or a page that keeps spaces."""

from collections.abc import Iterator

from pipelines.promotion.comparison import VersionComparison
from pipelines.promotion.promote import PromotionOutcome
from pipelines.report.text import title


def format_promotion(name: str, outcome: PromotionOutcome) -> Iterator[str]:
    """Both models with their differences, a line each, and at the end what was decided, and why."""
    resolve = outcome.resolve
    for bout in outcome.bouts:
        yield from _table(name, resolve.version, bout)
        yield ""
    done = "serves from now on" if outcome.promoted else "does not take the place"
    yield f"{name} version {resolve.version} {done}: {resolve.reason}."


def _table(name: str, version: str, bout: VersionComparison) -> Iterator[str]:
    left_out = f", {bout.dropped} left out since one of them had seen them" if bout.dropped else ""
    yield f"{name} version {version} against {bout.against} {bout.version}"
    yield f"{bout.images} images that neither has seen{left_out}"
    yield ""
    head = ("figure", bout.against, "version " + version, "difference", "90 % interval", "may lose")
    yield f"{head[0]:<38}{head[1]:>9}{head[2]:>11}{head[3]:>12}  {head[4]:<18}{head[5]:>9}"
    for metric, figure in bout.comparison.figures.items():
        interval = f"{figure.lower:+.3f} to {figure.upper:+.3f}"
        yield (
            f"{title(metric):<38}{figure.before:>9.3f}{figure.after:>11.3f}"
            f"{figure.difference:>+12.3f}  {interval:<18}{bout.comparison.margins[metric]:>9.2f}"
        )
        yield (
            f"    {figure.n} images in {figure.groups} groups: sees a true gain of "
            f"{figure.sees:.3f} four times in five"
        )
