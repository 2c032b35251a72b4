"""Types of what `validate` writes."""

from typing import Literal

from hgmnet.config.base import Frozen


class FailedExpectation(Frozen):
    """An expectation that did not hold, and the files that broke it (all of them)."""

    expectation: str
    severity: Literal["critical", "warning"]
    meaning: str
    files: tuple[str, ...]


class LabelConflict(Frozen):
    """Copies with contradictory labels: the label by image, and which are copies of one another.

    `links` may name an image that curation excluded; pairs.csv has the evidence for each.
    """

    labels: dict[str, str]
    links: tuple[tuple[str, str], ...]


class ValidationReport(Frozen):
    """What validation found, sorted, without times; `passed`: nothing critical failed.

    `shares`: by what was seen (burned-in marks, colour) and class, the share of usable images.
    """

    data: str
    passed: bool
    images: int
    per_class: dict[str, int]
    shares: dict[str, dict[str, float]]
    expectations: int
    failures: tuple[FailedExpectation, ...]
    conflicts: tuple[LabelConflict, ...]
