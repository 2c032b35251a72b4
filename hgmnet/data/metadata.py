"""Metadata of images: images.csv from the source, and curation.csv by a reader.

Columns `image` (the path below raw/), `patient`, `pixel_mm`, then the source's other columns
(BI-RADS, device, histology, side, ...) unchanged. `hgmnet import` writes it; it is versioned
with the images.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hgmnet.config.base import Frozen
from hgmnet.data.file_names import composed
from hgmnet.errors import InvalidDataError

NAME = "images.csv"
COLUMNS = ("image", "patient", "pixel_mm")
SOURCE = "source_name"
"""A fourth column, where a file of the source has another name than the image."""
CLIP = "clip"
"""Column of the source's file, for images that are frames of one."""


class ImageMetadata(Frozen):
    """Metadata of one image.

    `image`: its path below raw/. `source_name`: its path in the source, empty if the file's name is
    the same. `patient`: empty if unknown. `pixel_mm`: pixel spacing in mm, 0 if unknown. `further`:
    text by column, the same columns for every image.
    """

    image: str
    patient: str
    pixel_mm: float
    further: dict[str, str]
    source_name: str = ""


def write(raw: Path, entries: Sequence[ImageMetadata]) -> None:
    """Write images.csv, sorted by image; no file is written without metadata."""
    renamed = any(entry.source_name for entry in entries)
    if not (renamed or any(one.patient or one.pixel_mm or one.further for one in entries)):
        return
    further = list(dict.fromkeys(column for entry in entries for column in entry.further))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *([SOURCE] if renamed else []), *further])
    for entry in sorted(entries, key=lambda entry: entry.image):
        spacing = f"{entry.pixel_mm:.6g}" if entry.pixel_mm else ""
        rest = (_unix(entry.further.get(column, "")) for column in further)
        source = [entry.source_name] if renamed else []
        writer.writerow([entry.image, _unix(entry.patient), spacing, *source, *rest])
    (raw / NAME).write_bytes(text.getvalue().encode())


def read(raw: Path, images: Iterable[str]) -> dict[str, ImageMetadata]:
    """Read images.csv, if it exists: an entry for each image in it, by image.

    `images`: the valid paths below raw/.

    Raises:
        InvalidDataError: other columns, an unknown or repeated image, or a spacing that is no
            positive number; the message names the line.
    """
    try:
        text = (raw / NAME).read_bytes().decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise InvalidDataError(f"{raw / NAME} is not UTF-8; import the images again") from None
    return _parse(text, raw / NAME, images)


def words(folder: Path) -> dict[str, dict[str, str]]:
    """Read the columns besides `COLUMNS`: text by column, by image. Raises as `read`."""
    if not (folder / NAME).exists():
        return {}
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {image: entry.further for image, entry in read(folder, files).items()}


class SourceNames:
    """Names at their source of images in a data set's raw/, empty elsewhere; read on demand."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, str]] = {}

    def of(self, image: Path) -> str:
        """Return the source name of `<raw>/<class>/<image>`."""
        raw = image.parent.parent
        if raw not in self._known:
            self._known[raw] = _source_names(raw / NAME)
        return self._known[raw].get(f"{image.parent.name}/{image.name}", "")


def _source_names(path: Path) -> dict[str, str]:
    with suppress(OSError, UnicodeDecodeError, csv.Error):
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        if {*COLUMNS, SOURCE} <= {*(rows.fieldnames or ())}:
            return {row["image"]: row[SOURCE] or "" for row in rows}
    return {}


def _unix(text: str) -> str:
    """Use Unix line ends: csv does not quote a lone carriage return, and then can't read it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse(text: str, path: Path, images: Iterable[str]) -> dict[str, ImageMetadata]:
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    if tuple(header[:3]) != COLUMNS or len(set(header)) < len(header) or "" in header:
        raise InvalidDataError(
            f"{path}: expected the columns {', '.join(COLUMNS)} and others, each once, "
            f"got {', '.join(header) or 'none'}; import the images again"
        )
    entries = {}
    for where, row in _rows(lines, header, str(path), images, path.parent.name):
        image, patient, spacing = (row.pop(column) for column in COLUMNS)
        entries[image] = ImageMetadata(
            image=image,
            source_name=row.pop(SOURCE, ""),
            patient=patient,
            pixel_mm=_millimetres(spacing, where),
            further=row,
        )
    return entries


def _rows(
    lines: Any, header: Sequence[str], name: str, images: Iterable[str], folder: str = "raw"
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place of each line for errors, and its cells by column; see `read` and `parse`."""
    known, named = {composed(image): image for image in images}, set[str]()
    for cells in filter(None, lines):
        where = f"{name}, line {lines.line_num}"
        if len(cells) != len(header):
            counts = f"expected {len(header)} cells, got {len(cells)}"
            raise InvalidDataError(f"{where}: {counts}; the columns are {','.join(header)}")
        row = dict(zip(header, cells, strict=True))
        image = composed(row["image"].strip())
        if image not in known or image in named:
            why = "is named twice" if image in named else f"is no image below {folder}/"
            msg = f"{where}: {row['image']!r} {why}; expected <class>/<name>.png, once"
            raise InvalidDataError(msg)
        named.add(image)
        yield where, row | {"image": known[image]}


def _millimetres(text: str, where: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InvalidDataError(f"{where}: pixel_mm is {text!r}, expected millimetres, or nothing")
    return value


CURATION_COLUMNS = ("image", "group", "exclude", "reason")
HEADER = ",".join(CURATION_COLUMNS) + "\n"  # an empty curation.csv

_YES = {"true": True, "false": False, "": False}


class Note(Frozen):
    """An entry of curation.csv for one image, named by its path below raw/.

    `group`: images with the same group stay in one split; empty for none. `exclude`: leave out the
    image, for the `reason`.
    """

    image: str
    group: str
    exclude: bool
    reason: str


def read_notes(path: Path, images: Iterable[str]) -> list[Note]:
    """Read a curation.csv as `parse`; InvalidDataError also if it is missing, or not UTF-8."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path), images)
    except FileNotFoundError:
        msg = f"{path} is missing; create it with the line {HEADER.strip()}"
        raise InvalidDataError(msg) from None
    except UnicodeDecodeError:
        raise InvalidDataError(f"{path} is not UTF-8; save it as CSV UTF-8") from None


def parse(text: str, name: str, images: Iterable[str]) -> list[Note]:
    """Parse a curation.csv: columns image, group, exclude (true or false), reason.

    `name`: the file's name in errors. `images`: the valid paths below raw/.

    Raises:
        InvalidDataError: other columns, an unknown or repeated image, an `exclude` that is neither
            true nor false or has no reason; the message names the line.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = tuple(next(lines, ()))
    if header != CURATION_COLUMNS:
        wanted = ",".join(CURATION_COLUMNS)
        msg = f"{name}: expected the columns {wanted}, got {','.join(header) or 'none'}"
        raise InvalidDataError(msg)
    return [_note(row, where) for where, row in _rows(lines, header, name, images)]


def _note(row: Mapping[str, str], where: str) -> Note:
    image, group, exclude, reason = (cell.strip() for cell in row.values())
    if exclude.lower() not in _YES:
        raise InvalidDataError(f"{where}: exclude is {exclude!r}, expected true or false")
    if _YES[exclude.lower()] and not reason:
        msg = f"{where}: {image} is excluded without a reason; give one in the last column"
        raise InvalidDataError(msg)
    return Note(image=image, group=group, exclude=_YES[exclude.lower()], reason=reason)
