"""The plan of an import: every image, its source path, and its metadata."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hgmnet.config.base import NAME
from hgmnet.data import image_files, metadata
from hgmnet.data.file_names import Names, composed
from hgmnet.errors import InvalidDataError
from hgmnet.importing.source_files import Files, Read

Made = Mapping[PurePosixPath, Read]
"""Masks that a format draws, by a path in the source: PNG files."""

SOURCE_LABEL = "source_label"
"""Column of images.csv: the class in the source, where `--map` gave it another name."""

MAX_NAME_BYTES = 200  # of a class or image; file systems allow 255, and `_mask_1.png` is appended


@dataclass(frozen=True)
class PlannedImage:
    """One image of a source.

    `source`: its path there. `label`: its class, in lower case. `stem`: its new name without
    suffix. `masks`: paths of its lesion masks, in order. `patient`: empty if unknown. `pixel_mm`:
    pixel spacing in mm, 0 if unknown. `further`: other columns, unchanged.
    """

    source: PurePosixPath
    label: str
    stem: str
    masks: tuple[PurePosixPath, ...] = ()
    patient: str = ""
    pixel_mm: float = 0.0
    further: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> PurePosixPath:
        """The image's new path below raw/, in Unicode form NFC."""
        return PurePosixPath(self.label, composed(self.stem) + ".png")

    def mask_targets(self) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
        """Yield each mask's path in the source, and its new path below raw/."""
        for number, mask in enumerate(self.masks):
            ending = f"_{number}" if number else ""
            yield mask, self.target.with_name(f"{self.target.stem}_mask{ending}.png")


def located(pictures: Sequence[PlannedImage], files: Files) -> list[PlannedImage]:
    """Replace the names in a table by those of the files, which may be spelled in another way."""
    named = [path for picture in pictures for path in (picture.source, *picture.masks)]
    if all(path in files for path in named):
        return list(pictures)
    names = Names(map(str, files))
    there = {path: PurePosixPath(names.find(str(path))) for path in named if path not in files}
    return [
        replace(
            picture,
            source=there.get(picture.source, picture.source),
            masks=tuple(there.get(mask, mask) for mask in picture.masks),
        )
        for picture in pictures
    ]


def locator(folders: Sequence[PurePosixPath], files: Files) -> Callable[[str], PurePosixPath]:
    """Find a file: in the first of the folders that has it, or the only one of its name below them.

    Of a file that is nowhere, the function returns the path in the first folder.
    """
    below: dict[str, list[PurePosixPath]] = {}

    def locate(name: str) -> PurePosixPath:
        beside = [folder / name for folder in folders]
        if there := next((path for path in beside if path in files), None):
            return there
        if not below:
            for path in files:
                if any(path.is_relative_to(folder) for folder in folders):
                    below.setdefault(composed(path.name), []).append(path)
        found = below.get(composed(PurePosixPath(name).name), [])
        if len(found) > 1:
            raise InvalidDataError(f"{found[0]} and {found[1]} have the same name; remove one")
        return found[0] if found else beside[0]

    return locate


def mapped(pictures: Sequence[PlannedImage], classes: Mapping[str, str]) -> list[PlannedImage]:
    """Rename classes; each image keeps its class in the source as `SOURCE_LABEL`.

    `classes`: new name by class of the source.

    Raises:
        InvalidDataError: the source lacks a class of `classes`.
    """
    found = {picture.label for picture in pictures}
    if strange := sorted(classes.keys() - found):
        has = ", ".join(sorted(found)[:20])
        raise InvalidDataError(
            f"--map {strange[0]}={classes[strange[0]]}: the source has the classes {has}"
        )
    if not classes:
        return list(pictures)
    return [
        replace(
            picture,
            label=classes.get(picture.label, picture.label),
            further={SOURCE_LABEL: picture.label} | dict(picture.further),
        )
        for picture in pictures
    ]


def check(pictures: Sequence[PlannedImage], files: Files, source: Path, needed: str = "") -> None:
    """Check that a plan is possible; `needed`: a class that some image must have.

    Raises:
        InvalidDataError: a file is missing, the name of a class or an image is not allowed, two
            images would have the same name, ignoring case, or none has the class `needed`.
    """
    wanted = {path for picture in pictures for path in (picture.source, *picture.masks)}
    absent = sorted(str(path) for path in wanted if path not in files)
    if absent:
        raise InvalidDataError(f"{source}: {named(absent)} missing; add them, or remove their rows")
    taken: dict[str, PurePosixPath] = {}
    for picture in pictures:
        problem = _problem(picture)
        if problem:
            raise InvalidDataError(f"{source}: {str(picture.source)!r}: {problem}")
        key = str(picture.target).casefold()
        if key in taken:
            raise InvalidDataError(
                f"{source}: {taken[key]} and {picture.source} would both be {picture.target} "
                "(case is ignored); rename or remove one"
            )
        taken[key] = picture.source
    labels = sorted({picture.label for picture in pictures})
    if needed and needed not in labels:
        raise InvalidDataError(
            f"{source} has the classes {', '.join(labels[:20])}, expected `{needed}` among them; "
            f"map each to benign, {needed} or normal: "
            f"--map {','.join(f'{label}=...' for label in labels[:20])}"
        )


def named(names: Sequence[str]) -> str:
    """List names for an error: at most ten, then a count, then `is` or `are`."""
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{', '.join(names[:10])}{rest} {'is' if len(names) == 1 else 'are'}"


def _problem(picture: PlannedImage) -> str:
    label, name, stem = picture.label, picture.target.name, picture.stem
    unnamed = not re.fullmatch(NAME, label)
    unseen = any(unicodedata.category(char).startswith("C") for char in name)
    reserved = "|" in name or "/" in stem or image_files.is_hidden(picture.target)
    taken = ", ".join(
        column for column in (*metadata.COLUMNS, metadata.SOURCE) if column in picture.further
    )
    problems = (
        (unnamed, f"class {label!r}: expected letters, digits, - and _"),
        (len(label) > MAX_NAME_BYTES, f"class {label[:20]}... is over {MAX_NAME_BYTES} bytes long"),
        (image_files.mask_of(stem), "an image's name can't end in _mask, which marks its masks"),
        (unseen, "its name has characters that can't be shown"),
        (reserved, "its name can't contain | or /, or begin with a dot"),
        (len(os.fsencode(name)) > MAX_NAME_BYTES, f"its name is over {MAX_NAME_BYTES} bytes long"),
        (taken, f"its table has a column {taken} in addition to the format's own"),
    )
    return next((f"{what}; rename it" for found, what in problems if found), "")
