"""Which images are counted together, and what is left out."""

from pathlib import Path

import pandas as pd
import pytest
from records import record

from hgmnet.data.image_record import ImageRecord
from hgmnet.data.metadata import ImageMetadata, write
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.subgroups import parts, subgroup_values
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.stages.evaluation_tables import find_subgroups


@pytest.mark.parametrize(
    ("lesion", "size"),
    [(1, "small"), (299, "small"), (300, "medium"), (999, "medium"), (1000, "large")],
)
def test_a_lesion_is_small_below_3_and_large_from_10_percent_on(lesion, size):
    image = record("benign/a.png", width=100, height=100, mask_pixels=lesion)
    assert subgroup_values(image, {})["lesion_size"] == size


@pytest.mark.parametrize(
    ("width", "size"), [(499, "small"), (500, "medium"), (699, "medium"), (700, "large")]
)
def test_an_image_is_small_below_a_quarter_of_a_megapixel_and_large_from_0_35_on(width, size):
    assert (
        subgroup_values(record("benign/a.png", width=width, height=500), {})["image_size"] == size
    )


def test_an_image_without_a_lesion_has_no_lesion_size():
    assert subgroup_values(record("normal/a.png"), {}) == {
        "label": "normal",
        "image_size": "small",
        "overlays": "without",
        "colour": "without",
    }


def test_what_the_source_said_is_kept_but_gives_way_to_our_own():
    told = subgroup_values(
        record("benign/a.png", marks=3), {"Device": " A ", "BIRADS": "", "label": "x"}
    )
    assert (told["Device"], told["BIRADS"], told["label"]) == ("A", "not stated", "benign")
    assert told["overlays"] == "with"
    assert subgroup_values(record("benign/a.png", colour_share=0.01), {})["colour"] == "with"


def cut(column: dict[str, str | None], name: str) -> dict[str, list[str]]:
    by_image = {image: {name: value} if value else {} for image, value in column.items()}
    found = parts(pd.DataFrame({"image": list(column)}), by_image)
    return {part.value: part.table["image"].tolist() for part in found}


def test_every_image_is_in_the_part_of_its_value_and_in_no_other():
    column = {"a": "large", "b": "small", "c": None, "d": "large", "e": "medium"}
    assert cut(column, "lesion_size") == {"small": ["b"], "medium": ["e"], "large": ["a", "d"]}
    assert list(cut(column, "lesion_size")) == ["small", "medium", "large"]
    assert list(cut(column, "Device")) == ["large", "medium", "small"]


def test_a_column_with_one_value_or_with_very_many_is_left_out():
    many = {str(i): str(i) for i in range(13)}
    assert cut(dict.fromkeys("abc", "A"), "Device") == {}
    assert cut(many, "Device") == {}
    assert len(cut(many, "label")) == 13
    assert len(cut(dict(list(many.items())[:12]), "Device")) == 12


def measure(table: pd.DataFrame) -> dict[str, Figure]:
    n = len(table)
    none = Figure(value=None, low=None, high=None, n=0, groups=0)
    return {"accuracy": Figure(value=0.5, low=0.4, high=0.6, n=n, groups=n), "lesion_dice": none}


def repository(tmp_path: Path, count: int) -> tuple[Workspace, pd.DataFrame]:
    """Images of two devices in turn, every third with marks; of the last nothing is known."""
    space = Workspace(tmp_path, "phantom")
    rows = [record(f"benign/{i}.png", marks=int(i % 3 == 0)) for i in range(count)]
    write_rows(space.manifest, ImageRecord, rows)
    space.raw.mkdir()
    told = [
        ImageMetadata(
            image=row.image, patient=str(i), pixel_mm=0.1, further={"Device": "AB"[i % 2]}
        )
        for i, row in enumerate(rows[:-1])
    ]
    write(space.raw, told)
    return space, pd.DataFrame({"image": [row.image for row in rows]})


def test_manifest_and_images_csv_are_put_together(tmp_path):
    space, table = repository(tmp_path, 62)
    found = find_subgroups(space, table, measure)
    assert [(g.column, g.value, g.figures["accuracy"].n) for g in found] == [
        ("overlays", "with", 21),
        ("overlays", "without", 41),
        ("Device", "A", 31),
        ("Device", "B", 30),
        ("Device", "not stated", 1),
    ]
    assert [g.small("accuracy") for g in found] == [True, False, False, False, True]
    assert all(list(g.figures) == ["accuracy"] for g in found)


def test_an_image_that_the_manifest_lacks_is_named(tmp_path):
    space, _ = repository(tmp_path, 2)
    with pytest.raises(InvalidDataError, match=r"no row for benign/9\.png; .*dvc repro prepare"):
        find_subgroups(space, pd.DataFrame({"image": ["benign/9.png"]}), measure)


def test_a_group_of_29_is_small_and_one_of_30_is_not():
    for n, small in ((29, True), (30, False)):
        told = Subgroup(column="c", value="v", figures={"accuracy": measure_n(n)})
        assert told.small("accuracy") is small


def measure_n(n: int) -> Figure:
    return Figure(value=0.5, low=0.4, high=0.6, n=n, groups=n)
