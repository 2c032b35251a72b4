"""Tables of the report: figures by subgroup, and the network in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from hgmnet.config.model import File, Model
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.spec import Spec
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


_GATES = {
    "tied": "tied: HGM-Net’s Hierarchical Gating Module, at the start the coarse map itself",
    "free": "free: the Hierarchical Gating Module without its tie to the coarse map",
    "self": "self: the control, the same module without the coarse map",
    "multiply": "multiply: features times the coarse map",
    "reverse": "reverse: features times 1 − the coarse map",
    "uncertainty": "uncertainty: features raised where the coarse map is unsure",
    "input": "input: the image times the coarse map goes into the fine net",
    "none": "none: nothing acts on the fine net’s features",
}
_TASKS = {
    "joint": "lesion mask and class",
    "segmentation": "lesion mask alone, no class",
    "classification": "class alone, no mask",
}
_HGM = {"tied", "free"}


def shape(spec: Spec) -> tuple[tuple[str, str], ...]:
    """What the network is made of and started from, as terms and values."""
    model, side = spec.model, spec.prepare.side
    return (
        ("Learns", _TASKS[model.tasks]),
        ("Coarse net", "yes" if model.coarse else "none: the fine net stands alone"),
        ("Gate", _GATES[model.gate]),
        ("Encoder", _encoder(model)),
        ("Encoder weights at the start", _weights(model)),
        ("Started from", "no other model" if spec.parent is None else f"model {spec.parent}"),
        ("Deep supervision", "yes" if model.deep_supervision else "no"),
        ("Input", f"{side} × {side} px, {spec.prepare.fit}, {_eyes(model)}"),
    )


def summary(spec: Spec) -> str:
    """What the network is and answers with, in two sentences."""
    model, classes = spec.model, ", ".join(spec.classes)
    answers = {
        "joint": f"with a lesion mask and class probabilities for {classes}",
        "segmentation": "with a lesion mask alone",
        "classification": f"with class probabilities for {classes} alone",
    }[model.tasks]
    if not model.coarse:
        part = "An encoder" if model.tasks == "classification" else "One U-Net, HGM-Net’s fine net"
        return f"{part} without a coarse net before it. It answers {answers}."
    acts = (
        "gates the multi-scale encoder features of the second (fine) through the Hierarchical "
        "Gating Module"
        if model.gate in _HGM
        else f"meets the second (fine) by the gate `{model.gate}`"
    )
    first = f"Two U-Nets in a row. The probability map of the first (coarse) {acts}."
    return f"{first} One network answers {answers}."


def _encoder(model: Model) -> str:
    if not model.coarse:
        return model.encoder
    return f"{model.encoder}, {'one for both nets' if model.shared_encoder else 'one for each net'}"


def _weights(model: Model) -> str:
    weights = model.encoder_weights
    if isinstance(weights, File):
        return f"the file {weights.path} (sha256 {weights.sha256})"
    return "random" if weights == "none" else "ImageNet’s, from their hub"


def _eyes(model: Model) -> str:
    return "grey" if model.input == "grey" else "the grey channel three times"
