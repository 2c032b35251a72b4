"""Names that may be people's are found, and those of known data sets are not."""

from pathlib import Path

import pytest

from hgmnet.importing.people_names import like_people
from pipelines.operations.import_dataset import privacy_warning
from tests.imports import REPOSITORY

PEOPLE = (
    "Mueller_Anna",
    "MÜLLER^ANNA^^DR",
    "anna_1",
    "Li^Na",
    "benign Schmidt 03",
    "2024-05-01 nguyen left",
    "Østergård-2",
    "王小明",
)
NUMBERED = [f"case{number:03}-left" for number in range(40)]


@pytest.mark.parametrize("name", PEOPLE)
def test_a_persons_name_is_found_among_numbers(name: str) -> None:
    assert like_people([*NUMBERED, name]) == [name]


@pytest.mark.parametrize(
    "names",
    [
        NUMBERED,
        [f"bus_{number:04}-r" for number in range(20)],
        [f"SPIL_{number}" for number in range(5)],
        [f"malignant ({number})_frame_{number}" for number in range(9)],
        ["3f2abc9d-beef-4a1c", "9c0fdead-cafe-11ee", "5"],
        ["1.2.840.113619.2.55.3", "1.2.840.113619.2.55.4"],
        ["Sonara hospital cyst 4", "Sonara hospital scan 5", "Sonara hospital scan 6"],
        [],
    ],
)
def test_numbers_prefixes_and_words_of_the_field_are_no_names(names: list[str]) -> None:
    assert like_people(names) == []


def test_busi_has_none() -> None:
    rows = (REPOSITORY / "data" / "busi" / "split.csv").read_text().splitlines()[1:]
    assert like_people([row.split(",")[1] for row in rows]) == []


def test_an_import_warns_of_images_and_of_patients(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    for number in range(4):
        (tmp_path / "benign" / f"{number}.png").touch()
    assert privacy_warning(tmp_path) == ""
    table = "image,patient,pixel_mm\nbenign/0.png,MÜLLER^ANNA,\nbenign/1.png,17,\n"
    (tmp_path / "images.csv").write_text(table, encoding="utf-8")
    assert "1 names of images or patients may be people's" in privacy_warning(tmp_path)
    (tmp_path / "benign" / "Schmidt.png").touch()
    assert "2 names" in privacy_warning(tmp_path)
    assert "'Schmidt'" in privacy_warning(tmp_path)
