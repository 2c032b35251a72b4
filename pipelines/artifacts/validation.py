"""Types of the file that `validate` writes."""

from typing import Literal

from hgmnet.config.base import Frozen


class FailedExpectation(Frozen):
    """An expectation that did not hold, and all files that broke it."""

    expectation: str
    severity: Literal["critical", "warning"]
    meaning: str
    files: tuple[str, ...]


class LabelConflict(Frozen):
    """Copies with contradictory labels: label by image, and the pairs of copies.

    `links` may name an image that curation excluded; pairs.csv has the evidence for each.
    """

    labels: dict[str, str]
    links: tuple[tuple[str, str], ...]


class ValidationReport(Frozen):
    """Result of validation, sorted, without times; `passed`: nothing critical failed.

    `shares`: fraction of usable images, by finding (burned-in marks, colour) and class.
    """

    data: str
    passed: bool
    images: int
    per_class: dict[str, int]
    shares: dict[str, dict[str, float]]
    expectations: int
    failures: tuple[FailedExpectation, ...]
    conflicts: tuple[LabelConflict, ...]
