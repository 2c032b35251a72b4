"""A tar is read as a zip is, and refused for the same reasons."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from hgmnet.importing import importer, source_files
from tests.source_files import Files, encoded, refused

FILES = {"set/benign/ä.png": encoded(1), "set/benign/ä_mask.png": encoded(255), "a.txt": b"x"}


def tarred(path: Path, files: Files, mode: str = "w:gz", **facts: object) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for fact, value in facts.items():
                setattr(member, fact, value)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_imported_whatever_its_name(mode: str, raw: Path, tmp_path: Path) -> None:
    came = importer.lay_out(tarred(tmp_path / "set.dat", FILES, mode), raw)
    assert (came.per_class, came.masks, came.left_out) == (
        {"benign": 1}, 1, (("a.txt", "no image"),)
    )  # fmt: skip
    assert (raw / "benign/ä.png").read_bytes() == FILES["set/benign/ä.png"]


@pytest.mark.parametrize("name", ["../a.png", "b/../../a.png", "/b/a.png", "..\\a.png", "C:/a.png"])
def test_a_path_that_leads_out_is_refused(name: str, raw: Path, tmp_path: Path) -> None:
    refused(tarred(tmp_path / "s.tgz", {name: encoded()}), "leads out of the archive's", raw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.tgz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_refused(kind: bytes, raw: Path, tmp_path: Path) -> None:
    facts = {"type": kind, "linkname": "/etc/passwd"}
    source = tarred(tmp_path / "s.tar.gz", {"benign/a.png": b""}, **facts)
    refused(source, r"'benign/a\.png' is a link or no file", raw)


def test_a_name_twice_is_refused(raw: Path, tmp_path: Path) -> None:
    source = tarred(tmp_path / "s.tar", {"benign/a.png": encoded(), "benign/./a.png": b""}, "w")
    refused(source, "two entries", raw)


@pytest.mark.parametrize(
    "bomb",
    [
        ("_FREE_BYTES", 2**20, "too much for a set of images"),
        ("MAX_FILE_BYTES", 2**20, "is larger than 1 MiB"),
        ("MAX_ENTRIES", 1, "is one of more than 1;"),
    ],
)
def test_a_bomb_is_refused(
    bomb: tuple[str, int, str], raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, value, match = bomb
    monkeypatch.setattr(source_files, limit, value)
    files = {"benign/ok.png": b"x", "benign/a.png": bytes(2**24)}
    refused(tarred(tmp_path / "s.tar.gz", files), match, raw)


def test_a_header_that_states_gigabytes_takes_no_memory(raw: Path, tmp_path: Path) -> None:
    source = tarred(tmp_path / "s.tar", {"benign/a.png": encoded()}, "w", type=tarfile.XHDTYPE)
    data = bytearray(source.read_bytes())
    data[124:136] = b"%011o\0" % 2**32
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    source.write_bytes(data)
    refused(source, "would unpack to too much", raw)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_that_is_cut_short_is_refused(mode: str, raw: Path, tmp_path: Path) -> None:
    source = tarred(tmp_path / "s.tar", {"benign/a.png": os.urandom(5000)}, mode)
    source.write_bytes(source.read_bytes()[:3000])
    refused(source, "is not a complete tar archive", raw)
    source.write_bytes(b"\x1f\x8b no tar")
    refused(source, "is not a complete tar archive", raw)
