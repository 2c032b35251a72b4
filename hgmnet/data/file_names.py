"""Names of files as people read them: `é` is one letter in every Unicode form and encoding."""

import os
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

_MISREAD = (("utf-8", "cp1252"), ("cp437", "utf-8"), ("cp437", "cp1252"), ("cp1252", "utf-8"))
"""Encodings of a name as it was read, and as it may have been written."""


def composed(name: str) -> str:
    """Return a name in Unicode form NFC, in which names are compared."""
    return unicodedata.normalize("NFC", name)


def printable(path: os.PathLike[str] | str) -> str:
    r"""Return a path as text for files and screens; bytes that are not UTF-8 as `\xfc`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Names:
    """File names that are found in any Unicode form, and if read in a wrong encoding."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, set[str]] = {}
        for name in names:
            for spelling in _spellings(name):
                self._names.setdefault(spelling, set()).add(name)

    def find(self, name: str) -> str:
        """Return the file's name that a person would take for `name`; `name` if none or several.

        A name that differs in its Unicode form alone is taken first.
        """
        for wanted in ({composed(name)}, _spellings(name)):
            found = set[str]().union(*(self._names.get(spelling, ()) for spelling in wanted))
            close = {one for one in found if composed(one) == composed(name)} or found
            if name in found or len(close) == 1:
                return name if name in found else close.pop()
        return name


def find_file(top: Path, name: str, listed: dict[Path, Names]) -> Path:
    """Return `top / name` with each part as the disk spells it; `listed`: folders read before."""
    here = top
    for part in PurePosixPath(name).parts:
        if not part.isascii() and not os.path.lexists(here / part):
            if here not in listed:
                listed[here] = Names(p.name for p in here.iterdir()) if here.is_dir() else Names(())
            here /= listed[here].find(part)
        else:
            here /= part
    return here


def _spellings(name: str) -> set[str]:
    found = {composed(name)}
    for read, written in () if name.isascii() else _MISREAD:
        with suppress(UnicodeError):
            data = name.encode(read, "surrogateescape" if read == "utf-8" else "strict")
            found.add(composed(data.decode(written)))
    return found
