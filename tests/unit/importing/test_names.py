"""Names of files in other Unicode forms and encodings than those of the table that names them."""

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from hgmnet.data import manifest, metadata
from hgmnet.data.file_names import Names, find_file
from hgmnet.data.folder_layout import scan
from hgmnet.evaluation.outside_predictions import find_outside_predictions
from hgmnet.importing import importer
from pipelines.prediction.batch import asked_for
from tests.source_files import Files, as_csv, bus_bra, encoded, folder, zipped

NAME = "Müller.png"
DECOMPOSED = unicodedata.normalize("NFD", NAME)


def zipped_as(path: Path, files: Files, encoding: str) -> Path:
    """A zip whose names have this encoding, and no flag that states it."""
    names = {name.encode(encoding): data for name, data in files.items()}
    ascii_names = [str(number).rjust(len(name), "~") for number, name in enumerate(names)]
    data = zipped(path, dict(zip(ascii_names, names.values(), strict=True))).read_bytes()
    for ascii_name, name in zip(ascii_names, names, strict=True):
        data = data.replace(ascii_name.encode(), name)
    path.write_bytes(data)
    return path


def imported(raw: Path) -> set[str]:
    return {file.name for file in raw.rglob("*.png")}


@pytest.mark.parametrize("name", [NAME, DECOMPOSED, "超音波.png"])
def test_names_of_a_zip_that_are_utf_8_without_a_flag(name: str, raw: Path, tmp_path: Path) -> None:
    importer.lay_out(zipped_as(tmp_path / "s.zip", {f"benign/{name}": encoded()}, "utf-8"), raw)
    assert imported(raw) == {unicodedata.normalize("NFC", name)}


def test_other_names_of_a_zip_are_those_of_dos(raw: Path, tmp_path: Path) -> None:
    importer.lay_out(zipped_as(tmp_path / "s.zip", {f"benign/{NAME}": encoded()}, "cp437"), raw)
    assert imported(raw) == {NAME}


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "utf-8"])
def test_a_table_finds_files_of_a_zip_in_any_encoding(
    encoding: str, raw: Path, tmp_path: Path
) -> None:
    table = as_csv(("image", "label", "mask"), [(NAME, "benign", "Maske ä.png")])
    files = {NAME: encoded(9), "Maske ä.png": encoded(255)}
    source = zipped_as(tmp_path / "s.zip", files, encoding)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("t.csv", table)
    importer.lay_out(source, raw)
    assert len(imported(raw)) == 2
    entry = next(iter(metadata.read(raw, [one.image for one in scan(raw)]).values()), None)
    if encoding == "cp1252":
        assert entry is not None
        assert entry.source_name == NAME.encode("cp1252").decode("cp437")


@pytest.mark.parametrize(("in_table", "on_disk"), [(NAME, DECOMPOSED), (DECOMPOSED, NAME)])
def test_a_table_finds_files_in_another_unicode_form(
    in_table: str, on_disk: str, raw: Path, tmp_path: Path
) -> None:
    rows = [(f"á/{in_table}", "benign", f"á/{in_table[:-4]}-m.png")]
    files = {f"á/{on_disk}": encoded(1), f"á/{on_disk[:-4]}-m.png": encoded(255)}
    source = folder(tmp_path / "s", files | {"t.csv": as_csv(("image", "label", "mask"), rows)})
    importer.lay_out(source / "t.csv", raw)
    assert len(imported(raw)) == 2


def test_a_table_finds_files_whose_names_are_latin_1(raw: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "s", {"t.csv": as_csv(("image", "label"), [(NAME, "benign")])})
    try:
        (source / os.fsdecode(NAME.encode("latin-1"))).write_bytes(encoded())
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    importer.lay_out(source / "t.csv", raw)
    (record,) = manifest.build(raw)
    assert record.source_name == r"M\xfcller.png"


def test_two_files_that_one_name_may_mean_are_not_guessed_between() -> None:
    both = Names([NAME.encode("cp1252").decode("cp437"), NAME.encode().decode("cp1252")])
    assert both.find(NAME) == NAME
    assert Names([NAME, DECOMPOSED]).find(DECOMPOSED) == DECOMPOSED
    assert Names(["a.png"]).find("b.png") == "b.png"


def test_a_mask_in_another_unicode_form_is_its_image_s(raw: Path, tmp_path: Path) -> None:
    files = {f"benign/{NAME}": encoded(1), f"benign/{DECOMPOSED[:-4]}_mask.png": encoded(255)}
    came = importer.lay_out(folder(tmp_path / "s", files), raw)
    assert (came.masks, came.unmasked) == (1, 0)
    (sample,) = scan(folder(tmp_path / "theirs", files))
    assert (len(sample.masks), sample.error) == (1, "")


def test_curation_and_metadata_find_a_decomposed_name(tmp_path: Path) -> None:
    note = f"image,group,exclude,reason\nbenign/{DECOMPOSED},anna,,\n"
    (found,) = metadata.parse(note, "curation.csv", [f"benign/{NAME}"])
    assert (found.image, found.group) == (f"benign/{NAME}", "anna")
    text = f"image,patient,pixel_mm,Side\nbenign/{DECOMPOSED},anna,,l\n"
    (folder(tmp_path, {"images.csv": text.encode()}))
    known = metadata.read(tmp_path, [f"benign/{NAME}"])
    assert known[f"benign/{NAME}"].further == {"Side": "l"}


def test_the_original_name_stays(raw: Path, tmp_path: Path) -> None:
    table = as_csv(("image", "label", "device"), [("a/IM 1.bmp", "benign", "GE")])
    source = folder(tmp_path / "s", {"a/IM 1.bmp": encoded(3, "BMP"), "t.csv": table})
    importer.lay_out(source / "t.csv", raw)
    assert (raw / "images.csv").read_text().splitlines() == [
        "image,patient,pixel_mm,source_name,device",
        "benign/a_IM 1.png,,,a/IM 1.bmp,GE",
    ]
    assert metadata.words(raw) == {"benign/a_IM 1.png": {"device": "GE"}}
    (record,) = manifest.build(raw)
    assert record.source_name == "a/IM 1.bmp"
    assert [one.source_name for one in asked_for(raw).images] == ["a/IM 1.bmp"]


@pytest.mark.parametrize("files", [{"set/benign/benign (1).png": encoded()}, bus_bra()])
def test_a_name_that_is_kept_is_not_repeated(files: Files, raw: Path, tmp_path: Path) -> None:
    importer.lay_out(folder(tmp_path / "s", files), raw)
    assert "source_name" not in "".join(p.read_text() for p in raw.glob("images.csv"))


def test_a_batch_and_a_score_find_other_spellings(tmp_path: Path) -> None:
    files = {f"á/{DECOMPOSED}": encoded(), "t.csv": as_csv(("image",), [(f"á/{NAME}",), ("b",)])}
    (found, absent) = asked_for(folder(tmp_path, files) / "t.csv").images
    assert (found.name, found.source_name, found.size > 0) == (f"á/{NAME}", DECOMPOSED, True)
    assert (absent.size, absent.source_name) == (-1, "")
    masks = folder(tmp_path / "masks", {f"{DECOMPOSED[:-4]}_mask.png": encoded(255)})
    table = io.StringIO()
    pd.DataFrame({"image": [DECOMPOSED], "prob_a": [0.5], "prob_b": [0.5]}).to_csv(table)
    (tmp_path / "p.csv").write_text(table.getvalue())
    image = f"benign/{NAME}"
    scored = find_outside_predictions([image], ["a", "b"], masks, tmp_path / "p.csv")
    assert scored.masks[image].name == f"{DECOMPOSED[:-4]}_mask.png"
    assert scored.probs[image] == {"a": 0.5, "b": 0.5}
    assert find_file(tmp_path, f"nowhere/{NAME}", {}) == tmp_path / "nowhere" / NAME
