"""A folder in BUSI's layout: `<class>/<stem>.png` with `<stem>_mask.png`, `<stem>_mask_1.png`, ...

Al-Dhabyani et al., "Dataset of breast ultrasound images", Data in Brief 28, 2020.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path, PurePosixPath

from hgmnet.config.base import Frozen
from hgmnet.data.file_names import composed, printable
from hgmnet.data.image_files import find_in, mask_of, stem_of
from hgmnet.errors import InvalidDataError

LAYOUT = "<class>/<name>.png beside <class>/<name>_mask.png, <name>_mask_1.png, ..."
"""The expected layout, for error messages."""


class Sample(Frozen):
    """An image and its masks, POSIX paths below the folder; `error` is empty if there is none."""

    image: str
    label: str
    masks: tuple[str, ...]
    error: str


def scan(raw: Path) -> list[Sample]:
    """List the images of a folder with their masks, sorted by image.

    Which files are images: `hgmnet.data.image_files.find`; the others are ignored. A mask without
    an image, an image outside a class folder and two images of one stem become samples with an
    `error`.

    Raises:
        InvalidDataError: the folder is missing, contains no image, or one whose name is not UTF-8.
    """
    if not raw.is_dir():
        msg = f"{raw} is missing; bring the images in: hgmnet import <name> <folder-or-zip>"
        raise InvalidDataError(msg)
    found = find_in(raw, folders=False)
    files = sorted({*found.images, *found.orphans, *chain.from_iterable(found.images.values())})
    if not files:
        raise InvalidDataError(f"{raw} contains no image; expected {LAYOUT}")
    if odd := [path for path in files if printable(path) != str(path)]:
        msg = f"{raw}: the name of {printable(odd[0])} is not UTF-8; rename the file"
        raise InvalidDataError(msg)
    return _samples(files)


def _samples(files: Iterable[PurePosixPath]) -> list[Sample]:
    masks: dict[PurePosixPath, list[str]] = {}
    originals = []
    for path in files:
        key = _key(path)
        if (stem := mask_of(key.name)) is None:
            originals.append(path)
        else:
            masks.setdefault(key.with_name(stem), []).append(str(path))
    keys = {path: _key(path) for path in originals}
    twins = Counter(keys.values())
    samples = [_sample(path, tuple(masks.get(key, ())), twins[key]) for path, key in keys.items()]
    orphans = [mask for key, found in masks.items() if key not in twins for mask in found]
    error = "is a mask without an image"
    samples += [
        Sample(image=m, label=PurePosixPath(m).parent.name, masks=(), error=error) for m in orphans
    ]
    return sorted(samples, key=lambda sample: sample.image)


def _key(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(composed(str(path.with_name(stem_of(path)))))


def _sample(path: PurePosixPath, masks: tuple[str, ...], twins: int) -> Sample:
    error = ""
    if len(path.parts) != 2:
        error = f"is outside a class folder; expected {LAYOUT}"
    elif "|" in path.name:
        error = "has a | in its name"
    elif twins > 1:
        error = f"shares the name {stem_of(path)} with another image, so their masks are ambiguous"
    return Sample(image=str(path), label=path.parent.name, masks=masks, error=error)
