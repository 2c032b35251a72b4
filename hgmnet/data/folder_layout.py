"""A folder in BUSI's layout: `<class>/<stem>.png` with `<stem>_mask.png`, `<stem>_mask_1.png`, ...

Al-Dhabyani et al., "Dataset of breast ultrasound images", Data in Brief 28, 2020.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hgmnet.config.base import Frozen
from hgmnet.data import images
from hgmnet.errors import InvalidDataError

LAYOUT = "<class>/<name>.png beside <class>/<name>_mask.png, <name>_mask_1.png, ..."
"""The expected layout, for error messages."""

SUFFIXES = (*images.SUFFIXES, ".dcm", ".dicom")
_MASK = re.compile(r"(?P<stem>.+)_mask(?:_\d+)?")


class Sample(Frozen):
    """An image and its masks, POSIX paths below the folder; `error` is empty if there is none."""

    image: str
    label: str
    masks: tuple[str, ...]
    error: str


def scan(raw: Path) -> list[Sample]:
    """List the images of a folder with their masks, sorted by image, without opening a file.

    Hidden files and files without an image's suffix are ignored. A mask without an image, an image
    outside a class folder and two images of one stem become samples with an `error`.

    Raises:
        InvalidDataError: the folder is missing, contains no image, or one whose name is not UTF-8.
    """
    if not raw.is_dir():
        msg = f"{raw} is missing; bring the images in: hgmnet import <name> <folder-or-zip>"
        raise InvalidDataError(msg)
    paths = (PurePosixPath(path.relative_to(raw).as_posix()) for path in raw.rglob("*"))
    files = sorted(path for path in paths if is_image(path) and (raw / path).is_file())
    if not files:
        raise InvalidDataError(f"{raw} contains no image; expected {LAYOUT}")
    if odd := [path for path in files if printable(path) != str(path)]:
        msg = f"{raw}: the name of {printable(odd[0])} is not UTF-8; rename the file"
        raise InvalidDataError(msg)
    return _samples(files)


def find_images(folder: Path) -> list[Path]:
    """List the image files in and below a folder, sorted, without masks and hidden files."""
    return sorted(
        file
        for file in folder.rglob("*")
        if is_image(PurePosixPath(file.relative_to(folder).as_posix()))
        and mask_of(file.stem) is None
        and file.is_file()
    )


def printable(path: os.PathLike[str] | str) -> str:
    r"""Return a path as text for files and screens; bytes that are not UTF-8 as `\xfc`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_image(path: PurePosixPath) -> bool:
    """Whether a file counts as an image: by its suffix, and no part of its path is hidden."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def mask_of(stem: str) -> str | None:
    """Return the stem of the image that a mask's stem belongs to; None if it is not a mask's.

    >>> mask_of("benign (1)_mask_2")
    'benign (1)'
    """
    match = _MASK.fullmatch(stem)
    return match["stem"] if match else None


def _samples(files: Iterable[PurePosixPath]) -> list[Sample]:
    masks: dict[PurePosixPath, list[str]] = {}
    originals = []
    for path in files:
        stem = mask_of(path.stem)
        if stem is None:
            originals.append(path)
        else:
            masks.setdefault(path.with_name(stem), []).append(str(path))
    keys = {path: path.with_suffix("") for path in originals}
    twins = Counter(keys.values())
    samples = [_sample(path, tuple(masks.get(key, ())), twins[key]) for path, key in keys.items()]
    orphans = [mask for key, found in masks.items() if key not in twins for mask in found]
    error = "is a mask without an image"
    samples += [
        Sample(image=m, label=PurePosixPath(m).parent.name, masks=(), error=error) for m in orphans
    ]
    return sorted(samples, key=lambda sample: sample.image)


def _sample(path: PurePosixPath, masks: tuple[str, ...], twins: int) -> Sample:
    error = ""
    if len(path.parts) != 2:
        error = f"is outside a class folder; expected {LAYOUT}"
    elif "|" in path.name:
        error = "has a | in its name"
    elif twins > 1:
        error = f"shares the name {path.stem} with another image, so their masks are ambiguous"
    return Sample(image=str(path), label=path.parent.name, masks=masks, error=error)
