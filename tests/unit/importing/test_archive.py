import os
import zipfile

import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing import importer, source_files
from tests.source_files import encoded, refused, zipped

FILES = {
    "set/benign/a.png": encoded(1),
    "set/benign/a_mask.png": encoded(255),
    "set/normal/n.bmp": encoded(2, "BMP"),
    "set/notes.txt": b"x" * 300,
}


@pytest.mark.parametrize(
    "name",
    [
        "../",
        "../benign/a.png",
        "benign/../../a.png",
        "/benign/a.png",
        "..\\benign\\a.png",
        "C:/b/a.png",
    ],
)
def test_a_path_that_leads_out_is_refused(raw, tmp_path, name):
    source = zipped(tmp_path / "s.zip", {"benign/ok.png": encoded(), name: encoded()})
    refused(source, "leads out of the archive's folder", raw)


def test_a_link_in_a_zip_is_refused(raw, tmp_path):
    link = zipfile.ZipInfo("benign/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    refused(tmp_path / "s.zip", r"'benign/a\.png' is a link", raw)


def test_a_name_twice_in_a_zip_is_refused(raw, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as packed:
        packed.writestr("benign/a.png", encoded(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("benign/a.png", encoded(2))
    refused(tmp_path / "s.zip", r"two entries 'benign/a\.png'", raw)


def test_a_bomb_by_ratio_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(source_files, "_FREE_BYTES", 2**20)
    source = zipped(tmp_path / "s.zip", {"benign/a.png": bytes(2**24)})
    refused(source, "too much for a set of images", raw)


def test_a_bomb_by_size_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(source_files, "MAX_FILE_BYTES", 1000)
    source = zipped(tmp_path / "s.zip", {"benign/a.png": os.urandom(1001)})
    refused(source, "is larger than", raw)


def test_what_lies_packed_in_a_zip_stays_packed(raw, tmp_path):
    """A bomb within is not opened, and what is not opened does no harm."""
    inner = zipped(tmp_path / "inner.zip", {"benign/b.png": bytes(2**24)})
    source = zipped(tmp_path / "s.zip", {"benign/a.png": encoded(), "x.zip": inner.read_bytes()})
    came = importer.lay_out(source, raw)
    assert came.left_out == (("x.zip", "no image"),)
    assert came.per_class == {"benign": 1}


def test_a_size_that_is_a_lie_is_found_out(raw, tmp_path):
    source = zipped(tmp_path / "s.zip", {"benign/a.png": bytes(0x12345)})
    data, size = source.read_bytes(), (0x12345).to_bytes(4, "little")
    assert data.count(size) == 2
    source.write_bytes(data.replace(size, (100).to_bytes(4, "little")))
    refused(source, "is not a complete zip archive", raw)


def test_too_many_entries_are_refused(raw, tmp_path, monkeypatch):
    assert source_files.MAX_ENTRIES == 100_000
    monkeypatch.setattr(source_files, "MAX_ENTRIES", 1000)
    source = zipped(tmp_path / "s.zip", {str(number): b"" for number in range(1001)})
    refused(source, "has 1,001 entries, at most 1,000", raw)


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_truncated_zip_is_refused(raw, tmp_path, keep):
    whole = zipped(tmp_path / "s.zip", FILES).read_bytes()
    (tmp_path / "s.zip").write_bytes(whole[:keep])
    refused(tmp_path / "s.zip", r"s\.zip is not a complete zip archive", raw)


def test_a_damaged_zip_is_refused_or_read_whole(raw, tmp_path):
    """Whatever byte is broken: nothing else than InvalidDataError comes out."""
    whole = zipped(tmp_path / "s.zip", FILES).read_bytes()
    refusals = 0
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "s.zip").write_bytes(damaged)
        try:
            importer.lay_out(tmp_path / "s.zip", raw)
        except InvalidDataError:
            refusals += 1
    assert refusals > len(whole) / 7 / 4


def test_a_source_that_is_not_there(raw, tmp_path):
    refused(tmp_path / "gone", r"gone is missing; expected a folder", raw)
