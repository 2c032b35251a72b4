"""Detect a source's format, and plan its import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from hgmnet.data import folder_layout, image_files
from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.importing.formats import breast, bus_bra, busi, table
from hgmnet.importing.planned_image import PlannedImage, located
from hgmnet.importing.source_files import TABLES, Files
from hgmnet.importing.spreadsheet import Sheet

Format = Literal["auto", "busi", "bus-bra", "breast", "table"]
"""`auto` detects one of the other formats."""


@dataclass(frozen=True)
class ImportPlan:
    """The detected format, the table (if there is one), and the images."""

    format: Format
    table: PurePosixPath | None
    pictures: tuple[PlannedImage, ...]


_COLUMNS: Mapping[Format, tuple[str, ...]] = {
    "bus-bra": bus_bra.COLUMNS,
    "breast": breast.COLUMNS,
    "table": table.COLUMNS,
}
_PLANS: Mapping[Format, Callable[[Sheet, Files], list[PlannedImage]]] = {
    "bus-bra": lambda sheet, _: bus_bra.plan(sheet),
    "breast": breast.plan,
    "table": lambda sheet, _: table.plan(sheet),
}
_LOOKED_FOR: Mapping[Format, str] = {
    "bus-bra": f"{bus_bra.TABLE} with the columns {', '.join(bus_bra.COLUMNS)} (BUS-BRA)",
    "breast": f"a table with the columns {', '.join(breast.COLUMNS)} (BrEaST)",
    "table": f"a .csv or .xlsx with the columns {', '.join(table.COLUMNS)}",
    "busi": f"class folders with {folder_layout.LAYOUT}",
}


def plan(files: Files, given: PurePosixPath | None, source: Path, form: Format) -> ImportPlan:
    """Detect a source's format and images; a table with known columns has priority over folders.

    `given`: the table, if the source is one. `source`: its name in errors.

    Raises:
        InvalidDataError: no or several known tables, or the source is incomplete.
    """
    if given is not None:
        return _from_table(spreadsheet.read(files[given](), given), files, source, form)
    if form == "busi":
        return ImportPlan(form, None, tuple(busi.plan(files)))
    wanted = tuple(_COLUMNS) if form == "auto" else (form,)
    tables, unread = _tables(files)
    found = [(hit, sheet) for hit, sheet in tables if hit in wanted]
    if len(found) > 1:
        names = " and ".join(f"{sheet.path} ({hit})" for hit, sheet in found)
        msg = f"{source} contains {names}; give the table itself: hgmnet import <name> <table>"
        raise InvalidDataError(msg)
    if found:
        hit, sheet = found[0]
        return _planned(hit, sheet, files)
    if form == "auto" and any(not image_files.why_no_image(path, files[path]) for path in files):
        return ImportPlan("busi", None, tuple(busi.plan(files)))
    looked = " or ".join(_LOOKED_FOR.values() if form == "auto" else (_LOOKED_FOR[form],))
    why = f" ({unread[0]})" if unread else ""
    msg = f"{source} contains no image that belongs to {looked}{why}; see data/README.md"
    raise InvalidDataError(msg)


def _planned(form: Format, sheet: Sheet, files: Files) -> ImportPlan:
    return ImportPlan(form, sheet.path, tuple(located(_PLANS[form](sheet, files), files)))


def _from_table(sheet: Sheet, files: Files, source: Path, form: Format) -> ImportPlan:
    known = _format_of(sheet) if form == "auto" else form
    if known is None or known not in _PLANS:
        looked = " or ".join(_LOOKED_FOR[name] for name in _PLANS)
        columns = ", ".join(sheet.columns) or "none"
        msg = f"{source} has the columns {columns}; expected {looked}; see data/README.md"
        raise InvalidDataError(msg)
    return _planned(known, sheet, files)


def _tables(files: Files) -> tuple[list[tuple[Format, Sheet]], list[str]]:
    """Return the tables with known columns, and why others can't be read."""
    tables: list[tuple[Format, Sheet]] = []
    unread = []
    for path in files:
        hidden = image_files.is_hidden(path) or path.name.startswith("~$")
        if hidden or path.suffix.lower() not in TABLES:
            continue
        try:
            sheet = spreadsheet.read(files[path](), path)
        except InvalidDataError as error:
            unread.append(str(error))
            continue
        form = _format_of(sheet)
        if form and (form != "bus-bra" or path.name == bus_bra.TABLE):  # its folds look the same
            tables.append((form, sheet))
    return tables, unread


def _format_of(sheet: Sheet) -> Format | None:
    held = (form for form, columns in _COLUMNS.items() if set(columns) <= set(sheet.columns))
    return next(held, None)
