"""Catalogue of all metrics (catalogue.yaml), for evaluation, gate, report and docs/metrics.md."""

from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config.base import Frozen

_CLASS = "<class>"


class Metric(Frozen):
    """One metric of a split's images; catalogue.yaml describes the fields."""

    name: str
    title: str
    formula: str
    images: str
    empty: str = "–"
    higher_is_better: bool = True
    by_subgroup: bool = False


_DECLARED = YAML(typ="safe", pure=True).load(Path(__file__).with_name("catalogue.yaml"))
METRICS, PER_CLASS = (
    tuple(Metric(name=name, **fields) for name, fields in _DECLARED[part].items())
    for part in ("metrics", "per_class")
)
"""One of `PER_CLASS` for each class; those of malignant are computed by subgroup too."""

_BY_NAME = {one.name: one for one in METRICS}


def metric(name: str) -> Metric:
    """Return a metric's declaration, including `sensitivity_<class>` and `specificity_<class>`.

    >>> metric("lesion_dice").title
    'Lesion Dice'

    Raises:
        KeyError: there is no such metric.
    """
    for one in PER_CLASS:
        prefix = one.name.removesuffix(_CLASS)
        if name.startswith(prefix) and name != prefix:
            label = name.removeprefix(prefix)
            title, images = (text.replace(_CLASS, label) for text in (one.title, one.images))
            changes = {"name": name, "title": title, "images": images}
            return one.model_copy(update=changes | {"by_subgroup": label == "malignant"})
    return _BY_NAME[name]


BY_SUBGROUP = (
    *(one.name for one in METRICS if one.by_subgroup),
    "sensitivity_malignant",
    "specificity_malignant",
)
"""The metrics that are computed for every subgroup with images for them."""


def known(classes: Sequence[str]) -> list[str]:
    """Names of all metrics that a model with these classes can have, sorted."""
    by_class = [one.name.replace(_CLASS, name) for one in PER_CLASS for name in classes]
    return sorted([*_BY_NAME, *by_class])


def higher_is_better(name: str) -> bool:
    """Return the direction of a metric; KeyError if there is no such metric."""
    return metric(name).higher_is_better
