"""Which files are images, and which masks belong to them: the one rule of all readers.

A file is an image if its name ends like one or its first bytes are one's. A broken image is thus
still an image, which its reader refuses by name; what is no image is passed over with a reason.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from hgmnet.data import images
from hgmnet.data.atomic import write_table
from hgmnet.data.dicom import is_dicom
from hgmnet.data.file_names import composed, printable
from hgmnet.data.limits import MAX_FILE_BYTES
from hgmnet.data.reader import open_image
from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError

SUFFIXES = (*images.SUFFIXES, ".jfif", ".dcm", ".dicom")
"""Endings of image files, in lower case."""

HEAD = 512
"""Bytes at the start of a file that show whether it is an image."""

PASSED_OVER = "passed_over.csv"
Read = Callable[[int], bytes]  # the first bytes of a file, at most this many

_SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
_DICOMDIR = b"1.2.840.10008.1.3.10"  # Media Storage SOP Class, PS3.4 annex I
_HIDDEN = "hidden"
_MASK = re.compile(r"(?P<stem>.+)_mask(?:_\d+)?", re.IGNORECASE)
_MASKS = {"mask", "masks"}
_PARTED = {"image", "images", "img", "imgs", "original", "originals", *_MASKS}
_TRUTH = re.compile(
    r"[_ -](gt|truth|seg|segmentation|label|labels|lesion|tumou?r|annotation)(_\d+)?$",
    re.IGNORECASE,
)
_LOOKED, _NEARLY, _SURELY = 3, 16, 0.97
_NAMED = 5  # files named on the screen


class PassedOver(NamedTuple):
    """A file that is not read as an image, as text, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class FoundImages:
    """The files of a source, sorted.

    `images`: the masks of each image, in order. `orphans`: masks without an image. `others`: the
    reason for each file that is no image.
    """

    images: Mapping[PurePosixPath, tuple[PurePosixPath, ...]]
    orphans: tuple[PurePosixPath, ...]
    others: Mapping[PurePosixPath, str]

    @property
    def passed_over(self) -> list[PassedOver]:
        """Every file but the images; what may be a scan comes first, hidden files last."""
        lone = "named like a mask, but its image is not there; if it is a scan, name the file"
        masks = {mask: f"mask of {image}" for image, own in self.images.items() for mask in own}
        orphans = ((mask, lone) for mask in self.orphans)
        reasons = [*orphans, *sorted(self.others.items()), *masks.items()]
        reasons.sort(key=lambda one: one[1] == _HIDDEN)
        return [PassedOver(printable(path), printable(reason)) for path, reason in reasons]


def find(files: Mapping[PurePosixPath, Read], *, folders: bool = True) -> FoundImages:
    """Find images and their masks among files; only names that do not end like images are opened.

    `scan_mask.png` and `scan_mask_1.png` are masks of `scan.png` beside them. So is `scan.png` in a
    folder `mask` or `masks`, whose image may be in a folder `images` next to it. `folders`: so are
    the files of any other folder if each has an image of its name in another folder, and the first
    ones, which are opened for that, are black and white.
    """
    others = {path: why for path in sorted(files) if (why := why_no_image(path, files[path]))}
    pictures = [path for path in sorted(files) if path not in others]
    of_folder = _mask_folders(pictures, files) if folders else {}
    masks: dict[PurePosixPath, list[PurePosixPath]] = {}
    images = []
    for path in pictures:
        if path.parent in of_folder:
            image = of_folder[path.parent] / _bare(path)
            masks.setdefault(class_and_stem(image), []).append(path)
        elif _is_mask(path):
            masks.setdefault(class_and_stem(path), []).append(path)
        else:
            images.append(path)
    keys = {path: class_and_stem(path) for path in images}
    known = set(keys.values())
    own = {
        key: tuple(sorted(found, key=lambda mask: (len(mask.stem), mask.stem)))
        for key, found in masks.items()
    }
    return FoundImages(
        images={path: own.get(key, ()) for path, key in keys.items()},
        orphans=tuple(sorted(m for key, found in own.items() if key not in known for m in found)),
        others=others,
    )


def _is_mask(path: PurePosixPath) -> bool:
    in_masks = _MASKS & {part.lower() for part in path.parent.parts}
    return bool(in_masks or mask_of(stem_of(path)))


def _bare(path: PurePosixPath) -> str:
    """Return a file's stem without `_gt`, `_seg` and the like."""
    return _TRUTH.sub("", mask_of(stem_of(path)) or stem_of(path)) or stem_of(path)


def _mask_folders(
    pictures: Sequence[PurePosixPath], files: Mapping[PurePosixPath, Read]
) -> dict[PurePosixPath, PurePosixPath]:
    """By folder of masks: the folder of their images, the most alike in name of those that fit."""
    held: dict[PurePosixPath, dict[str, PurePosixPath]] = {}
    for path in pictures:
        if not (_MASKS & {part.lower() for part in path.parent.parts}):
            held.setdefault(path.parent, {})[_bare(path)] = path
    having: dict[str, list[PurePosixPath]] = {}
    for folder, known in held.items():
        for stem in known:
            having.setdefault(stem, []).append(folder)
    shared = {f: known for f, known in held.items() if len(having[next(iter(known))]) > 1}
    drawn = {
        folder: known
        for folder, known in shared.items()
        if all(_black_and_white(path, files[path]) for path in [*known.values()][:_LOOKED])
    }
    found = {}
    for folder, known in drawn.items():
        others = set(having[next(iter(known))]) - drawn.keys()
        fitting = [one for one in sorted(others) if known.keys() <= held[one].keys()]
        if fitting:
            found[folder] = max(fitting, key=lambda one: _alike(folder, one))
    return found


def _alike(one: PurePosixPath, other: PurePosixPath) -> tuple[int, int]:
    """How many words two folders' names have in common, and how few they have not."""
    words, others = (set(re.findall(r"[^\W_]+", str(path).lower())) for path in (one, other))
    return len(words & others), -len(words ^ others)


def _black_and_white(path: PurePosixPath, read: Read) -> bool:
    """Whether an image has two values at most, or almost only black and white, as JPEG blurs it."""
    try:
        values = open_image(read(MAX_FILE_BYTES), str(path)).mask_values(0)
    except (HgmnetError, OSError):
        return False
    extreme = (values < _NEARLY) | (values > 255 - _NEARLY)
    return len(np.unique(values)) <= 2 or float(extreme.mean()) > _SURELY


def find_on_disk(files: Mapping[PurePosixPath, Path], *, folders: bool = True) -> FoundImages:
    """Find images among files on the disk, by the name that counts; see `find`."""
    odd = {name: "not a file" for name, path in files.items() if not path.is_file()}
    reads = {name: partial(read_head, path) for name, path in files.items() if name not in odd}
    found = find(reads, folders=folders)
    return FoundImages(found.images, found.orphans, {**found.others, **odd})


def find_in(folder: Path, *, folders: bool = True) -> FoundImages:
    """Find the images in and below a folder, by their paths below it; see `find`."""
    unread: dict[PurePosixPath, str] = {}
    files: dict[PurePosixPath, Path] = {}

    def refuse(error: OSError) -> None:
        unread[below(Path(error.filename))] = f"can't be read: {error.strerror}"

    def below(path: Path) -> PurePosixPath:
        return PurePosixPath(path.relative_to(folder).as_posix())

    for here, inner, names in os.walk(folder, onerror=refuse):
        at, inside = Path(here), below(Path(here))
        hidden = {inside / name: _HIDDEN for name in inner if is_hidden(PurePosixPath(name))}
        linked = {inside / name: "a linked folder" for name in inner if (at / name).is_symlink()}
        unread |= linked | hidden
        inner[:] = [name for name in inner if inside / name not in unread]
        files |= {inside / name: at / name for name in names}
    found = find_on_disk(files, folders=folders)
    return FoundImages(found.images, found.orphans, {**found.others, **unread})


def read_head(path: Path, size: int) -> bytes:
    """Read the first bytes of a file, at most `size`."""
    with path.open("rb") as file:
        return file.read(size)


def why_no_image(path: PurePosixPath, read: Read) -> str:
    """Return why a file is no image: hidden, or by its name and its first bytes; empty if it is."""
    if is_hidden(path):
        return _HIDDEN
    if path.suffix.lower() in SUFFIXES:
        return ""
    try:
        data = read(HEAD)
    except (InvalidDataError, OSError) as error:
        return str(error)
    if is_dicom(data):
        return "an index of DICOM files" if _DICOMDIR in data else ""
    bmp = data.startswith(b"BM") and data[15:18] == bytes(3)  # the size of its second header
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    return "" if bmp or webp or data.startswith(_SIGNATURES) else "no image"


def is_hidden(path: PurePosixPath) -> bool:
    """Whether a file or one of its folders is hidden, or macOS's copy of a file's properties."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def stem_of(path: PurePosixPath | Path) -> str:
    """Return a file's name without an image's ending: `1.2.840.1` has none."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def mask_of(stem: str) -> str | None:
    """Return the stem of the image that a mask's stem belongs to; None if it is not a mask's.

    >>> mask_of("benign (1)_mask_2")
    'benign (1)'
    """
    match = _MASK.fullmatch(stem)
    return match["stem"] if match else None


def class_and_stem(path: PurePosixPath) -> PurePosixPath:
    """Return what an image and its masks share: the folders but `images`, `masks`, and the stem."""
    parts = PurePosixPath(composed(str(path.with_name(stem_of(path)))))
    folders = (part for part in parts.parent.parts if part.lower() not in _PARTED)
    return PurePosixPath(*folders, mask_of(parts.name) or parts.name)


def passed_over_text(passed: Sequence[PassedOver], table: Path | str) -> str:
    """Count the files that were passed over, and name the first five; `table` has them all."""
    named = ", ".join(f"{one.file} ({one.reason})" for one in passed[:_NAMED])
    count = "1 file" if len(passed) == 1 else f"{len(passed)} files"
    rest = f" and {len(passed) - _NAMED} more, see {table}" if len(passed) > _NAMED else ""
    return f"{count} passed over: {named}{rest}"


def write_passed_over(table: Path, passed: Iterable[PassedOver]) -> None:
    """Write the table, or remove an earlier one if empty; ConfigError for another file there."""
    header, rows = ",".join(PassedOver._fields), [one._asdict() for one in passed]
    ours = not table.exists() or table.read_bytes().startswith(header.encode())
    if rows and not ours:
        raise ConfigError(f"{table} is no such table and is not overwritten; rename it")
    if rows:
        write_table(table, PassedOver._fields, rows)
    elif ours:
        table.unlink(missing_ok=True)
