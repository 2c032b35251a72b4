"""curation.csv: what a person knows about images that their pixels don't say."""

import csv
import io
from collections.abc import Iterable

from hgmnet.config import Frozen
from hgmnet.errors import InvalidDataError

COLUMNS = ("image", "group", "exclude", "reason")
HEADER = ",".join(COLUMNS) + "\n"
"""An empty curation.csv."""

_YES = {"true": True, "false": False, "": False}


class Note(Frozen):
    """What is said of one image, named by its path below raw/.

    `group`: images with the same name here are never parted; empty for none. `exclude`: it takes no
    part, for the `reason`.
    """

    image: str
    group: str
    exclude: bool
    reason: str


def parse(text: str, name: str, images: Iterable[str]) -> list[Note]:
    """Read the text of a curation.csv.

    Args:
        text: CSV with the columns image, group, exclude (true or false), reason.
        name: what to call the file in an error.
        images: the paths below raw/ that may be named.

    Raises:
        InvalidDataError: other columns, an unknown image, one named twice, an `exclude` that is
            neither true nor false or has no reason; the message names the line.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = tuple(next(lines, ()))
    if header != COLUMNS:
        msg = f"{name}: expected the columns {','.join(COLUMNS)}, got {','.join(header) or 'none'}"
        raise InvalidDataError(msg)
    notes: list[Note] = []
    known, named = set(images), set[str]()
    for cells in filter(None, lines):
        where = f"{name}, line {lines.line_num}"
        note = _note([cell.strip() for cell in cells], where)
        if note.image not in known or note.image in named:
            why = "is named twice" if note.image in named else "is no image below raw/"
            msg = f"{where}: {note.image!r} {why}; expected <class>/<name>.png, once"
            raise InvalidDataError(msg)
        named.add(note.image)
        notes.append(note)
    return notes


def _note(cells: list[str], where: str) -> Note:
    if len(cells) != len(COLUMNS):
        msg = f"{where}: expected {len(COLUMNS)} cells ({','.join(COLUMNS)}), got {len(cells)}"
        raise InvalidDataError(msg)
    image, group, exclude, reason = cells
    if exclude.lower() not in _YES:
        msg = f"{where}: exclude is {exclude!r}, expected true or false"
        raise InvalidDataError(msg)
    if _YES[exclude.lower()] and not reason:
        msg = f"{where}: {image} is excluded without a reason; give one in the last column"
        raise InvalidDataError(msg)
    return Note(image=image, group=group, exclude=_YES[exclude.lower()], reason=reason)
