"""A folder or zip as a mapping from path to bytes; unsafe contents are refused."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

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

TABLES = (".csv", ".xlsx")  # suffixes of tables, in lower case

_FREE_BYTES = 2**30
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a limit


@contextmanager
def opened(source: Path) -> Iterator[tuple[Files, PurePosixPath | None]]:
    """Open a source: a folder, a .zip, or a table (.csv, .xlsx) of images below its folder.

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
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                packed = source.stat().st_size
                entries = safe_entries(archive, str(source), packed, _FREE_BYTES).items()
                yield {path: partial(_unpack, archive, info) for path, info in entries}, None
        except (*_DAMAGED, EOFError, NotImplementedError) as error:
            msg = f"{source} is not a complete zip archive ({error}); fetch it again"
            raise InvalidDataError(msg) from None


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


def _safe_path(info: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    name = info.filename.replace("\\", "/")
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
