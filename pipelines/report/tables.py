"""Table of figures by subgroup in the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Subgroup, Subgroups
from pipelines.report import text
from pipelines.report.charts import strip

FEW = 30
"""Figures of fewer images are marked as unreliable."""

METRICS = (
    "lesion_dice",
    "accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
    "served_normal_fp_rate",
)
"""Candidate columns: the first three that any subgroup has are shown."""
_SHOWN = 3


@dataclass(frozen=True)
class SubgroupCell:
    """A formatted figure of a subgroup; `few`: fewer than `FEW` images."""

    value: str
    interval: str
    counted: str
    strip: str
    few: bool


@dataclass(frozen=True)
class Section:
    """Subgroups of one column: per row its value and one cell per metric."""

    name: str
    rows: tuple[tuple[str, tuple[SubgroupCell | None, ...]], ...]


@dataclass(frozen=True)
class Breakdown:
    """The table: one section per column of subgroups."""

    metrics: tuple[str, ...]
    sections: tuple[Section, ...]


def breakdown(subgroups: Subgroups | None) -> Breakdown | None:
    """Build the table; None without subgroups."""
    if subgroups is None or not subgroups.groups:
        return None
    present = {
        name for group in subgroups.groups for name, f in group.figures.items() if _present(f)
    }
    metrics = tuple(name for name in METRICS if name in present)[:_SHOWN]
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


def _present(figure: Figure) -> bool:
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
