"""A download from a server that sends without end, onto a disk that is counted, not written."""

import errno
import hashlib
import io
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from hgmnet.errors import HgmnetError
from hgmnet.importing import download

MIB = 2**20
DISK = 2**40
URL = "http://127.0.0.1:1/set.zip"


@dataclass
class Disk:
    """Takes what is written to `.part` files and keeps its length alone; it has `DISK` bytes."""

    used: int = 0

    def usage(self, *_: object) -> shutil._ntuple_diskusage:
        return shutil._ntuple_diskusage(DISK, self.used, DISK - self.used)

    def statvfs(self, *_: object) -> os.statvfs_result:
        free = (DISK - self.used) // 4096
        return os.statvfs_result((4096, 4096, DISK // 4096, free, free, 1, 1, 1, 0, 255))


class Part(io.BytesIO):
    """A file on that disk."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    def write(self, data: bytes) -> int:
        if self._disk.used + len(data) > DISK:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._disk.used += len(data)
        return len(data)

    def tell(self) -> int:
        return self._disk.used


class Line(io.BytesIO):
    """What a server sends: a head, and then zeros; without end unless its head says how many."""

    _ZEROS = bytes(2**24)

    def read(self, count: int | None = -1) -> bytes:
        return self._ZEROS[:count]


class Socket:
    """One with that line behind it."""

    def __init__(self, head: str) -> None:
        self._line = Line(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n".encode())

    def settimeout(self, *_: object) -> None:
        pass

    def makefile(self, *_: object) -> Line:
        return self._line

    def sendall(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made, really = Disk(), Path.open

    def opened(self: Path, mode: str = "r", *words: object, **named: object) -> object:
        file = really(self, mode, *words, **named)
        if self.suffix != ".part" or "b" not in mode or "r" in mode:
            return file
        file.close()
        return Part(made)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(shutil, "disk_usage", made.usage)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    monkeypatch.setattr(download, "_CHUNK", 2**24, raising=False)  # the same, in fewer steps
    return made


def sends(monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    """Every server answers so."""

    def connect(self: urllib3.connection.HTTPConnection) -> None:
        self.sock = Socket(head)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", connect)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_what_says_its_size_comes_whole(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sends(monkeypatch, f"Content-Length: {3 * MIB}\r\n")
    nothing = hashlib.sha256().hexdigest()  # the disk has kept no byte
    with download.brought(URL, tmp_path / "downloads", nothing) as place:
        assert place.exists()
    assert disk.used == 3 * MIB


def test_a_download_without_an_end_does_not_fill_the_disk(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sends(monkeypatch, "")
    with suppress(HgmnetError), download.brought(URL, tmp_path / "downloads", "a" * 64):
        raise RuntimeError("a file of another hash came")
    assert disk.used < 0.95 * DISK, "the disk is full"
    assert list((tmp_path / "downloads").glob("*.part")) == []
