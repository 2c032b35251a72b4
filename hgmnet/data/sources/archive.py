"""A source opened for reading, whatever it is; what is hostile in a zip is refused."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from hgmnet.data.sources.folder import MAX_FILE_BYTES, Files, Folder
from hgmnet.errors import InvalidDataError

MAX_ENTRIES = 100_000
MAX_RATIO = 100
"""An archive that unpacks to more than this many times its size, and past 1 GiB, is refused."""

TABLES = (".csv", ".xlsx")
"""What a table may be called, in lower case."""

_FREE_BYTES = 2**30
_KIND = 0o170000
_LINK = 0o120000

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
)


@contextmanager
def opened(source: Path) -> Iterator[tuple[Files, PurePosixPath | None]]:
    """Open a source for reading.

    Args:
        source: a folder, a .zip, or a table (.csv, .xlsx) with its images in or below its folder.

    Yields:
        The files, and which of them is the table, where the source was one.

    Raises:
        InvalidDataError: the source is absent, broken or hostile; also while it is read.
    """
    if source.is_dir():
        yield Folder(source), None
    elif not source.is_file():
        msg = f"{source} is not there; expected a folder, a .zip, or a table of images"
        raise InvalidDataError(msg)
    elif source.suffix.lower() in TABLES:
        yield Folder(source.parent), PurePosixPath(source.name)
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                packed = source.stat().st_size
                entries = safe_entries(archive, str(source), packed, _FREE_BYTES).items()
                yield {path: partial(_unpack, archive, info) for path, info in entries}, None
        except _BROKEN as error:
            msg = f"{source} is no whole zip archive ({error}); fetch it again"
            raise InvalidDataError(msg) from None


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(entry)
    except OSError as error:  # an entry that lies nowhere
        raise zipfile.BadZipFile(str(error)) from None


def safe_entries(
    archive: zipfile.ZipFile, name: str, packed: int, free: int
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """List the files of an archive.

    Args:
        archive: open for reading.
        name: what to call it in an error.
        packed: its own bytes.
        free: it may unpack to so many bytes, however small it is.

    Raises:
        InvalidDataError: it has too many entries, unpacks to too much, or an entry leads out of it,
            is a link, encrypted, too large or there twice.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        msg = f"{name} has {len(infos):,} entries, at most {MAX_ENTRIES:,} are read; split it up"
        raise InvalidDataError(msg)
    size = sum(info.file_size for info in infos)
    if size > max(free, MAX_RATIO * packed):
        msg = f"{name} would unpack to {size / 2**30:.1f} GiB; that is no set of images"
        raise InvalidDataError(msg)
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        path = _safe_path(info, name)
        if path in entries:
            msg = f"{name} has two entries {info.filename!r}; pack it again"
            raise InvalidDataError(msg)
        if not info.is_dir():
            entries[path] = info
    return entries


def _safe_path(info: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    name = info.filename.replace("\\", "/")
    path = PurePosixPath(name)
    problem = ""
    if path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:
        problem = "leads out of the archive's folder"
    elif info.external_attr >> 16 & _KIND == _LINK:
        problem = "is a link"
    elif info.flag_bits & 1:
        problem = "is encrypted"
    elif info.file_size > MAX_FILE_BYTES:
        problem = f"is larger than {MAX_FILE_BYTES // 2**20} MiB"
    if problem:
        msg = f"{archive}: the entry {info.filename!r} {problem}; nothing was imported"
        raise InvalidDataError(msg)
    return path
