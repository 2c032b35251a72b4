"""Format a promotion as text with aligned columns."""

from collections.abc import Iterator, Sequence

from pipelines.promotion.comparison import VersionComparison
from pipelines.promotion.promote import PromotionOutcome
from pipelines.report.text import title


def format_promotion(name: str, outcome: PromotionOutcome) -> Iterator[str]:
    """Yield a table per comparison, then the decision and its reason."""
    resolve = outcome.resolve
    for compared in outcome.comparisons:
        yield from _table(name, resolve.version, compared)
        yield ""
    done = "serves from now on" if outcome.promoted else "is not promoted"
    yield f"{name} version {resolve.version} {done}: {resolve.reason}."


def markdown(name: str, outcome: PromotionOutcome, facts: Sequence[str]) -> str:
    """Format as Markdown for Prefect's pages: a table per comparison, the decision, the facts.

    `facts`: doubts and links, one line of Markdown each.
    """
    resolve, lines = outcome.resolve, []
    for compared in outcome.comparisons:
        before, after = f"{compared.against} {compared.version}", f"version {resolve.version}"
        lines += [
            f"**{name} {after} against {before}**, {compared.images} images that neither has seen",
            "",
            f"| figure | {before} | {after} | difference (90 % interval) | may lose | groups |",
            "|---|--:|--:|--:|--:|--:|",
            *(
                f"| {title(metric)} | {one.before:.3f} | {one.after:.3f} | {one.difference:+.3f} "
                f"({one.lower:+.3f} to {one.upper:+.3f}) "
                f"| {compared.comparison.margins[metric]:.2f} | {one.groups} |"
                for metric, one in compared.comparison.figures.items()
            ),
            *(
                f"| {title(metric)} | – | – | too few to compare | – | {groups} |"
                for metric, groups in compared.comparison.too_few.items()
            ),
            "",
        ]
    done = "serves from now on" if outcome.promoted else "is not promoted"
    lines += [f"**Version {resolve.version} {done}**: {resolve.reason}.", ""]
    return "\n".join([*lines, *(f"- {fact}" for fact in facts)])


def _table(name: str, version: str, compared: VersionComparison) -> Iterator[str]:
    dropped = compared.dropped
    left_out = f", {dropped} left out because either had seen them" if dropped else ""
    yield f"{name} version {version} against {compared.against} {compared.version}"
    yield f"{compared.images} images that neither has seen{left_out}\n"
    before, after = compared.against, f"version {version}"
    yield f"{'figure':<38}{before:>9}{after:>11}  difference  {'90 % interval':<18} may lose"
    margins = compared.comparison.margins
    for metric, figure in compared.comparison.figures.items():
        interval = f"{figure.lower:+.3f} to {figure.upper:+.3f}"
        yield (
            f"{title(metric):<38}{figure.before:>9.3f}{figure.after:>11.3f}"
            f"{figure.difference:>+12.3f}  {interval:<18}{margins[metric]:>9.2f}"
        )
        power = f"sees a true gain of {figure.sees:.3f} four times in five"
        if not figure.sees:
            power = "the same value for every image, so the interval says nothing"
        yield f"    {figure.n} images in {figure.groups} groups: {power}"
    for metric, groups in compared.comparison.too_few.items():
        yield f"{title(metric):<38}{groups} groups: too few to compare (promotion.min_groups)"
