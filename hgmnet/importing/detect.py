"""Detect a source's format, and plan its import."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from hgmnet.data import folder_layout, image_files
from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.importing.formats import breast, bus_bra, busi, coco, nnunet, table
from hgmnet.importing.planned_image import Made, PlannedImage, located
from hgmnet.importing.source_files import TABLES, Files, Read
from hgmnet.importing.spreadsheet import Sheet

Format = Literal["auto", "busi", "bus-bra", "breast", "table", "nnunet", "coco"]
"""`auto` detects one of the other formats."""


@dataclass(frozen=True)
class ImportPlan:
    """The detected format, the tables that name images, the images, and masks that it draws."""

    format: Format
    tables: tuple[PurePosixPath, ...]
    pictures: tuple[PlannedImage, ...]
    made: Made = field(default_factory=dict)


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
    "nnunet": f"{nnunet.NAME} beside {nnunet.IMAGES}/ (nnU-Net)",
    "coco": f"a .json with {', '.join(sorted(coco.KEYS))} (COCO)",
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
        return ImportPlan(form, (), tuple(busi.plan(files)))
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
    if form in {"auto", "nnunet", "coco"} and (annotated := _from_json(files, form)):
        return annotated
    if form == "auto" and any(not image_files.why_no_image(path, files[path]) for path in files):
        return ImportPlan("busi", (), tuple(busi.plan(files)))
    looked = " or ".join(_LOOKED_FOR.values() if form == "auto" else (_LOOKED_FOR[form],))
    why = f" ({unread[0]})" if unread else ""
    msg = f"{source} contains no image that belongs to {looked}{why}; see data/README.md"
    raise InvalidDataError(msg)


def _from_json(files: Files, form: Format) -> ImportPlan | None:
    """Plan the import of nnU-Net's layout or of COCO files, if there are any."""
    known = {path: _json(files[path]) for path in files if _is_json(path)}
    for path, document in known.items():
        there = any(file.parent == path.parent / nnunet.IMAGES for file in files)
        if path.name == nnunet.NAME and there and form != "coco":
            pictures, made = nnunet.plan(path, document, files)
            return ImportPlan("nnunet", (path,), tuple(pictures), made)
    documents = {p: d for p, d in known.items() if isinstance(d, Mapping) and d.keys() >= coco.KEYS}
    if not documents or form == "nnunet":
        return None
    pictures, made = coco.plan(documents, files)
    return ImportPlan("coco", tuple(documents), tuple(located(pictures, {**files, **made})), made)


def _is_json(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".json" and not image_files.is_hidden(path)


def _json(read: Read) -> object:
    """Parse a JSON file; None for a broken one, which may be anything."""
    try:
        return json.loads(read())
    except (ValueError, RecursionError, InvalidDataError):
        return None


def _planned(form: Format, sheet: Sheet, files: Files) -> ImportPlan:
    return ImportPlan(form, (sheet.path,), tuple(located(_PLANS[form](sheet, files), files)))


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
