"""A folder or zip as a mapping from path to bytes; unsafe contents are refused."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from hgmnet.data.image_files import read_head
from hgmnet.data.images import read_file
from hgmnet.data.limits import MAX_FILE_BYTES
from hgmnet.errors import InvalidDataError

Read = Callable[..., bytes]
Files = Mapping[PurePosixPath, Read]
"""The files of a source by path: functions that read one, whole or its first `size` bytes."""


class Folder(Mapping[PurePosixPath, Read]):
    """The files of a folder, by their paths below it, listed and read on demand.

    A link inside the folder is followed. A link that leads out, a linked folder, a pipe and the
    like are refused: a linked folder when the files are listed, the others when they are read.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def __getitem__(self, path: PurePosixPath) -> Read:
        there = self._root / path
        outside = path.is_absolute() or ".." in path.parts
        if outside or not os.path.lexists(there) or there.is_dir():
            raise KeyError(path)
        return partial(self._read, path)

    def __iter__(self) -> Iterator[PurePosixPath]:
        for here, folders, names in os.walk(self._root, onerror=_refuse_unread):
            folder = PurePosixPath(Path(here).relative_to(self._root).as_posix())
            folders.sort()
            for name in folders:
                if Path(here, name).is_symlink():
                    msg = f"{folder / name} is a linked folder; replace it by the folder itself"
                    raise InvalidDataError(msg)
            yield from (folder / name for name in sorted(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, path: PurePosixPath, size: int | None = None) -> bytes:
        real = Path(os.path.realpath(self._root / path))
        problem = ""
        if not real.is_relative_to(self._root):
            problem = "is a link that leads out of the folder; replace it by the file itself"
        elif real.exists() and not real.is_file():
            problem = "is not a regular file; remove it"
        if problem:
            raise InvalidDataError(f"{path} {problem}")
        try:
            return read_file(real) if size is None else read_head(real, size)
        except OSError as error:
            msg = f"{path} can't be read: {error.strerror or error}; repair or remove it"
            raise InvalidDataError(msg) from None


def _refuse_unread(error: OSError) -> None:
    msg = f"{error.filename} can't be read: {error.strerror}; repair or remove it"
    raise InvalidDataError(msg) from None


MAX_ENTRIES = 100_000
MAX_RATIO = 100
"""An archive that unpacks to more than this many times its size, and past 1 GiB, is refused."""

TABLES = (".csv", ".tsv", ".xlsx")  # suffixes of tables, in lower case

_FREE_BYTES = 2**30
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error)
_UTF_8 = 0x800  # flag: the name is UTF-8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a limit


@contextmanager
def opened(source: Path) -> Iterator[tuple[Files, PurePosixPath | None]]:
    """Open a source: a folder, a .zip, a .tar (.gz, .bz2, .xz), or a table of images by its folder.

    Yields:
        The files, and the table's path if the source was a table.

    Raises:
        InvalidDataError: the source is missing, broken or unsafe; also while it is read.
    """
    if source.is_dir():
        yield Folder(source), None
    elif not source.is_file():
        raise InvalidDataError(f"{source} is missing; expected a folder, .zip or table of images")
    elif source.suffix.lower() in TABLES:
        yield Folder(source.parent), PurePosixPath(source.name)
    elif _is_tar(source):
        with tempfile.TemporaryDirectory(prefix="hgmnet-") as folder:
            _unpack_tar(source, Path(folder))
            yield Folder(Path(folder)), None
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                packed = source.stat().st_size
                entries = safe_entries(archive, str(source), packed, _FREE_BYTES).items()
                yield {path: partial(_unpack, archive, info) for path, info in entries}, None
        except (*_DAMAGED, EOFError, NotImplementedError) as error:
            msg = f"{source} is not a complete zip archive ({error}); fetch it again"
            raise InvalidDataError(msg) from None


_PACKED: Mapping[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""How to open a packed tar, by its first bytes."""


class _Bounded(io.BufferedReader):
    """A tar that reads at most `MAX_FILE_BYTES` at once, and `most` bytes in all."""

    def __init__(self, file: IO[bytes], name: str, most: int) -> None:
        super().__init__(cast("io.RawIOBase", file))
        self._name, self._most = name, most

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_FILE_BYTES or self.tell() + size > self._most:
            raise InvalidDataError(f"{self._name} would unpack to too much for a set of images")
        return super().read(size)


def _is_tar(source: Path) -> bool:
    head = read_head(source, 512)
    return head.startswith(tuple(_PACKED)) or head[257:262] == b"ustar"


def _unpack_tar(source: Path, folder: Path) -> None:
    """Write the files of a tar into a folder; unsafe contents are refused as in a zip."""
    head = read_head(source, 8)
    opened = next((way for magic, way in _PACKED.items() if head.startswith(magic)), Path.open)
    most = max(_FREE_BYTES, MAX_RATIO * source.stat().st_size)
    try:
        with (
            opened(source, "rb") as file,
            _Bounded(file, str(source), most) as plain,
            tarfile.open(fileobj=plain, mode="r:") as archive,
        ):
            for number, member in enumerate(archive):
                if member.isdir():
                    continue
                target = folder / _safe_member(member, number, str(source))
                if target.exists():
                    msg = f"{source} has two entries {member.name!r}; pack it again"
                    raise InvalidDataError(msg)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(cast("IO[bytes]", archive.extractfile(member)).read())
    except (tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        msg = f"{source} is not a complete tar archive ({error}); fetch it again"
        raise InvalidDataError(msg) from None


def _safe_member(member: tarfile.TarInfo, number: int, archive: str) -> PurePosixPath:
    path, problem = PurePosixPath(member.name.replace("\\", "/")), ""
    if number >= MAX_ENTRIES:
        problem = f"is one of more than {MAX_ENTRIES:,}; split it up"
    elif path.is_absolute() or ".." in path.parts or ":" in str(path).partition("/")[0]:
        problem = "leads out of the archive's folder"
    elif not member.isreg():
        problem = "is a link or no file"
    elif member.size > MAX_FILE_BYTES:
        problem = f"is larger than {MAX_FILE_BYTES // 2**20} MiB"
    if problem:
        msg = f"{archive}: the entry {member.name!r} {problem}; nothing was imported"
        raise InvalidDataError(msg)
    return path


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int | None = None) -> bytes:
    try:
        with archive.open(entry) as file:
            most = entry.file_size  # no more, even if the directory states too little
            return file.read(most if size is None else min(size, most))
    except OSError as error:  # the entry's position is outside the file
        raise zipfile.BadZipFile(str(error)) from None


def repacked(data: bytes, name: str, free: int) -> io.BytesIO:
    """Return an archive whose entries have the sizes that its directory states, unpacked.

    Raises:
        InvalidDataError: as `safe_entries`.
        BadZipFile: an entry is damaged.
    """
    checked = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(checked, "w") as written:
        for path, entry in safe_entries(archive, name, len(data), free).items():
            written.writestr(str(path), _unpack(archive, entry))
    return checked


def safe_entries(
    archive: zipfile.ZipFile, name: str, packed: int, free: int
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """List the files of an archive of `packed` bytes, which may always unpack to `free` bytes.

    Raises:
        InvalidDataError: it has too many entries, unpacks to too much, or an entry leads out of it,
            is a link, encrypted, too large, duplicated, or packed by another method than deflate.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        msg = f"{name} has {len(infos):,} entries, at most {MAX_ENTRIES:,} are read; split it up"
        raise InvalidDataError(msg)
    size = sum(info.file_size for info in infos)
    if size > max(free, MAX_RATIO * packed):
        msg = f"{name} would unpack to {size / 2**30:.1f} GiB, too much for a set of images"
        raise InvalidDataError(msg)
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        path = _safe_path(info, name)
        if path in entries:
            raise InvalidDataError(f"{name} has two entries {info.filename!r}; pack it again")
        if not info.is_dir():
            entries[path] = info
    return entries


def _name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name: without the flag for UTF-8 it is UTF-8 all the same, or cp437."""
    if not info.flag_bits & _UTF_8:
        with suppress(UnicodeError):
            return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _safe_path(info: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    name = _name(info).replace("\\", "/")
    path = PurePosixPath(name)
    problem = ""
    if path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:
        problem = "leads out of the archive's folder"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "is a link"
    elif info.flag_bits & 1:
        problem = "is encrypted"
    elif info.compress_type not in _METHODS:
        problem = "is packed by another method than deflate; pack it again"
    elif info.file_size > MAX_FILE_BYTES:
        problem = f"is larger than {MAX_FILE_BYTES // 2**20} MiB"
    if problem:
        msg = f"{archive}: the entry {info.filename!r} {problem}; nothing was imported"
        raise InvalidDataError(msg)
    return path
