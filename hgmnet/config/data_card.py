"""data_card.yaml: what is known about a data set besides its files; a person writes it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hgmnet.config.base import Frozen, load_settings

ITEMS = {
    5: "dates",
    7: "source",
    8: "inclusion",
    11: "deidentification",
    12: "missing",
    13: "acquisition",
    14: "reference_standard",
    15: "reference_rationale",
    16: "annotation",
    17: "test_annotation",
    18: "variability",
    36: "demographics",
}
"""Fields that answer an item of CLAIM 2024, by its number."""


class DataCard(Frozen):
    """One data set; an empty text is not known, and stands so in the page about a version."""

    source: str
    licence: str
    dates: str
    site: str
    devices: str
    acquisition: str
    population: str
    inclusion: str
    deidentification: str
    missing: str
    reference_standard: str
    reference_rationale: str
    annotation: str
    test_annotation: str
    variability: str
    demographics: str
    known_faults: Annotated[tuple[str, ...], Field(strict=False)]


def load_data_card(path: Path) -> DataCard | None:
    """Read a card, None if there is none; ConfigError, naming every wrong key, if it is damaged."""
    return load_settings(path, DataCard, "") if path.exists() else None
