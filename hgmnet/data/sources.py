"""A folder or zip of images, laid out as a data set's raw/: `<class>/<stem>.png` with its masks."""

import lzma
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from hgmnet.config import NAME, Frozen
from hgmnet.data import busi, images
from hgmnet.errors import InvalidDataError

MAX_ENTRIES = 100_000
MAX_FILE_BYTES = 512 * 2**20
MAX_RATIO = 100
"""An archive that unpacks to more than this many times its size, and past 1 GiB, is refused."""

_FREE_BYTES = 2**30
_PARTED = {"image", "images", "mask", "masks"}
_LINK = 0o120000

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
)

Files = Mapping[PurePosixPath, Callable[[], bytes]]
"""What a source holds: by path, a way to read it."""


class LaidOut(Frozen):
    """What came of an import: images a class, masks, and files that are no images."""

    per_class: dict[str, int]
    masks: int
    left_out: tuple[str, ...]


def lay_out(source: Path, raw: Path) -> LaidOut:
    """Bring a source's images in, whole or not at all.

    The class is the name of the folder that an image lies in, in lower case; what lies above
    doesn't matter. PNGs are copied byte for byte, other formats re-encoded without loss.

    Args:
        source: a folder, or a .zip.
        raw: where to put them; what is there is replaced once all is read.

    Raises:
        InvalidDataError: the source is absent, broken, hostile or empty, has no class folders, or
            two of its files would get one name.
    """
    part = raw.with_name(f".{raw.name}.{os.getpid()}.part")
    try:
        with _files(source) as files:
            targets = _targets(files, source)
            for path, target in targets.items():
                _copy(files[path], str(path), part / target)
        _swap(part, raw)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # a data set's folder that held nothing before goes, too
            raw.parent.rmdir()
    pictures = [target for target in targets.values() if busi.mask_of(target.stem) is None]
    return LaidOut(
        per_class=dict(sorted(Counter(target.parent.name for target in pictures).items())),
        masks=len(targets) - len(pictures),
        left_out=tuple(sorted(str(path) for path in files if path not in targets)),
    )


@contextmanager
def _files(source: Path) -> Iterator[Files]:
    if source.is_dir():
        yield {
            PurePosixPath(path.relative_to(source).as_posix()): path.read_bytes
            for path in sorted(source.rglob("*"))
            if not path.is_dir()
        }
        return
    if not source.is_file():
        msg = f"{source} is not there; expected a folder or .zip with {busi.LAYOUT}"
        raise InvalidDataError(msg)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = _safe_entries(archive, source)
            yield {path: partial(archive.read, info) for path, info in entries.items()}
    except _BROKEN as error:
        msg = f"{source} is no whole zip archive ({error}); fetch it again"
        raise InvalidDataError(msg) from None


def _safe_entries(archive: zipfile.ZipFile, source: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        msg = f"{source} has {len(infos):,} entries, at most {MAX_ENTRIES:,} are read; split it up"
        raise InvalidDataError(msg)
    size = sum(info.file_size for info in infos)
    if size > max(_FREE_BYTES, MAX_RATIO * source.stat().st_size):
        msg = f"{source} would unpack to {size / 2**30:.1f} GiB; that is no set of images"
        raise InvalidDataError(msg)
    paths = [_safe_path(info, source) for info in infos]
    return {path: info for path, info in zip(paths, infos, strict=True) if not info.is_dir()}


def _safe_path(info: zipfile.ZipInfo, source: Path) -> PurePosixPath:
    name = info.filename.replace("\\", "/")
    path = PurePosixPath(name)
    problem = ""
    if path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:
        problem = "leads out of the archive's folder"
    elif info.external_attr >> 16 & 0o170000 == _LINK:
        problem = "is a link"
    elif info.flag_bits & 1:
        problem = "is encrypted"
    elif info.file_size > MAX_FILE_BYTES:
        problem = f"is larger than {MAX_FILE_BYTES // 2**20} MiB"
    if problem:
        msg = f"{source}: the entry {info.filename!r} {problem}; nothing was imported"
        raise InvalidDataError(msg)
    return path


def _targets(files: Files, source: Path) -> dict[PurePosixPath, PurePosixPath]:
    """Where each image goes below raw/."""
    found = [path for path in files if busi.is_image(path)]
    if not found:
        msg = f"{source} holds no image; expected {busi.LAYOUT}"
        raise InvalidDataError(msg)
    classes = {path.parent.name.lower() for path in found}
    if "" in classes or classes & _PARTED:
        parted = " and ".join(sorted(classes & _PARTED))
        where = "outside any folder" if "" in classes else f"in {parted}"
        msg = f"{source} has images {where}, so their class is unknown; expected {busi.LAYOUT}"
        raise InvalidDataError(msg)
    odd = sorted(name for name in classes if not re.match(NAME, name))
    if odd:
        msg = f"{source}: class folder {odd[0]!r}: expected letters, digits, - and _; rename it"
        raise InvalidDataError(msg)
    origins: dict[PurePosixPath, PurePosixPath] = {}
    for path in sorted(found):
        target = PurePosixPath(path.parent.name.lower(), f"{path.stem}.png")
        if target in origins:
            msg = f"{source}: {origins[target]} and {path} would both be {target}; rename one"
            raise InvalidDataError(msg)
        origins[target] = path
    return {path: target for target, path in origins.items()}


def _copy(read: Callable[[], bytes], name: str, target: Path) -> None:
    try:
        data = read()
    except OSError as error:
        msg = f"{name} can't be read: {error.strerror or error}; mend or remove it"
        raise InvalidDataError(msg) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(images.encode_png(data, name))


def _swap(part: Path, raw: Path) -> None:
    """Put `part` where `raw` is; only then is the old one removed."""
    old = part.with_suffix(".old")
    if raw.exists():
        raw.rename(old)
    part.rename(raw)
    shutil.rmtree(old, ignore_errors=True)
