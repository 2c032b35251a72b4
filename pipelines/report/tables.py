"""The report's table of figures by subgroup."""

from collections.abc import Sequence
from dataclasses import dataclass

from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Subgroup, Subgroups
from pipelines.report import text
from pipelines.report.charts import strip

FEW = 30
"""A figure of fewer images is marked: it says little."""

METRICS = (
    "lesion_dice",
    "accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
    "served_normal_fp_rate",
)
"""What is shown of each subgroup, of those that any of them has; three at most."""
_SHOWN = 3


@dataclass(frozen=True)
class SubgroupCell:
    """A figure of a subgroup, ready to be shown; `few` marks one of too few images."""

    value: str
    interval: str
    counted: str
    strip: str
    few: bool


@dataclass(frozen=True)
class Section:
    """The subgroups by one column: a name and a cell for each metric of the table."""

    name: str
    rows: tuple[tuple[str, tuple[SubgroupCell | None, ...]], ...]


@dataclass(frozen=True)
class Breakdown:
    """The whole table."""

    metrics: tuple[str, ...]
    sections: tuple[Section, ...]


def breakdown(subgroups: Subgroups | None) -> Breakdown | None:
    """The table, or None where there is nothing to show."""
    if subgroups is None or not subgroups.groups:
        return None
    told = {name for group in subgroups.groups for name, f in group.figures.items() if _told(f)}
    metrics = tuple(name for name in METRICS if name in told)[:_SHOWN]
    columns = dict.fromkeys(group.column for group in subgroups.groups)
    sections = (_section(name, subgroups.groups, metrics) for name in columns)
    return Breakdown(metrics, tuple(sections))


def _section(column: str, groups: Sequence[Subgroup], metrics: Sequence[str]) -> Section:
    rows = (
        (group.value, tuple(_cell(group.figures.get(name)) for name in metrics))
        for group in groups
        if group.column == column
    )
    return Section(column.replace("_", " "), tuple(rows))


def _told(figure: Figure) -> bool:
    return figure.value is not None


def _cell(figure: Figure | None) -> SubgroupCell | None:
    if figure is None or figure.value is None:
        return None
    return SubgroupCell(
        value=text.number(figure.value),
        interval=text.interval(figure),
        counted=text.counted(figure),
        strip=strip(figure),
        few=figure.n < FEW,
    )
