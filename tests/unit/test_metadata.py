import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgmnet.data import manifest, metadata
from hgmnet.data.metadata import ImageMetadata
from hgmnet.errors import InvalidDataError
from hgmnet.splitting import pairs as duplicates
from tests.source_files import encoded, folder


def entry(image, patient="", pixel_mm=0.0, **further):
    return ImageMetadata(image=image, patient=patient, pixel_mm=pixel_mm, further=further)


def test_what_is_written_is_read(tmp_path):
    entries = [
        entry("benign/b.png", "anna, née é", 0.07125, Side="l", Note='"x"\ny'),
        entry("benign/a.png", "", 0.0, Side="", Note=""),
    ]
    metadata.write(tmp_path, entries)
    assert metadata.read(tmp_path, ["benign/a.png", "benign/b.png"]) == {
        entry.image: entry for entry in entries
    }


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=5)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=3))
def test_whatever_stands_in_the_cells_is_read_again(cells):
    entries = {
        str(number): entry(str(number), patient, 0.5, Side=side, Note=note)
        for number, (patient, side, note) in enumerate(cells)
    }
    with tempfile.TemporaryDirectory() as folder:
        metadata.write(Path(folder), list(entries.values()))
        assert metadata.read(Path(folder), entries) == entries


def test_carriage_returns_become_line_ends(tmp_path):
    metadata.write(tmp_path, [entry("a.png", "p\rq", Note="x\r\ny")])
    read = metadata.read(tmp_path, ["a.png"])["a.png"]
    assert (read.patient, read.further) == ("p\nq", {"Note": "x\ny"})


def test_nothing_is_written_where_nothing_is_known(tmp_path):
    metadata.write(tmp_path, [entry("benign/a.png")])
    assert list(tmp_path.iterdir()) == []
    assert metadata.read(tmp_path, ["benign/a.png"]) == {}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected the columns image, patient, pixel_mm and others, each once, got none"),
        ("image,patient\n", "got image, patient"),
        ("image,patient,pixel_mm,x,x\n", "each once"),
        ("image,patient,pixel_mm\na.png,p\n", "line 2: expected 3 cells, got 2"),
        ("image,patient,pixel_mm\nb.png,p,\n", "line 2: 'b.png' is no image below "),
        ("image,patient,pixel_mm\na.png,p,\na.png,p,\n", "line 3: 'a.png' is named twice"),
        ("image,patient,pixel_mm\na.png,p,wide\n", "line 2: pixel_mm is 'wide'"),
        ("image,patient,pixel_mm\na.png,p,-1\n", "pixel_mm is '-1'"),
        ("image,patient,pixel_mm\na.png,p,nan\n", "pixel_mm is 'nan'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, error):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(InvalidDataError, match=error) as caught:
        metadata.read(tmp_path, ["a.png"])
    assert "\n" not in str(caught.value)


def test_the_manifest_knows_patients_and_their_images_stay_together(tmp_path):
    names = ("benign/a.png", "benign/b.png", "malignant/c.png", "malignant/d.png")
    folder(tmp_path, {name: encoded() for name in names})
    metadata.write(
        tmp_path, [entry(names[0], "p", 0.07), entry(names[1], "q"), entry(names[2], "p", 0.07)]
    )
    records = manifest.build(tmp_path)
    assert [(r.patient, r.pixel_mm) for r in records] == [
        ("p", 0.07),
        ("q", 0),
        ("p", 0.07),
        ("", 0),
    ]
    pairs = duplicates.of_one_patient(records)
    assert [(p.first, p.second, p.kind, p.transform) for p in pairs] == [
        ("benign/a.png", "malignant/c.png", "scene", "patient")
    ]
    assert duplicates.conflicts(records, pairs) == set()
