"""Tables as text by column: CSV, and the first sheet of an .xlsx."""

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from hgmnet.errors import InvalidDataError
from hgmnet.importing import source_files

MAX_ROWS = 100_000
_XLSX_BYTES = 2**26
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Sheet:
    """A table: `path` in its source, its columns, and its rows by number; the header is row 1.

    A row maps each column to its text, stripped; empty if there is none.
    """

    path: PurePosixPath
    columns: tuple[str, ...]
    rows: Mapping[int, Mapping[str, str]]

    def where(self, row: int) -> str:
        """Format a row's name for an error."""
        return f"{self.path}, row {row}"

    def hold(self, columns: Iterable[str]) -> None:
        """Raise InvalidDataError if a column is missing."""
        absent = [column for column in columns if column not in self.columns]
        if absent:
            found = ", ".join(self.columns)
            msg = f"{self.path} lacks the column {', '.join(absent)}; it has {found or 'none'}"
            raise InvalidDataError(msg)


def read(data: bytes, path: PurePosixPath) -> Sheet:
    """Read a table, without empty rows and columns without a name.

    `data`: CSV (UTF-8 or UTF-16; commas, semicolons or tabs), or .xlsx by the suffix of `path`.

    Raises:
        InvalidDataError: it can't be read, a column is duplicated, a row is longer than the
            header, or there are more than `MAX_ROWS`.
    """
    cells = _xlsx_rows(data, path) if path.suffix.lower() == ".xlsx" else _csv_rows(data, path)
    if len(cells) > MAX_ROWS + 1:
        raise InvalidDataError(f"{path} has more than {MAX_ROWS:,} rows; split it up")
    header = cells[0] if cells else []
    columns = tuple(filter(None, header))
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise InvalidDataError(f"{path} has the column {twice} twice; rename one")
    rows = {}
    for number, row in enumerate(cells[1:], start=2):
        if any(row[len(header) :]):
            msg = f"{path}, row {number}: more cells than columns; quote cells that contain a comma"
            raise InvalidDataError(msg)
        if any(row):
            padded = (*row, *[""] * (len(header) - len(row)))
            rows[number] = {c: v for c, v in zip(header, padded, strict=False) if c}
    return Sheet(path, columns, rows)


def number(text: str, what: str) -> float:
    """Parse a length that may be absent: a number above 0, or 0 for no text.

    Raises:
        InvalidDataError: the text is something else; the message begins with `what`.
    """
    if not text:
        return 0.0
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise InvalidDataError(f"{what} is {text!r}, expected a number above 0, or nothing")
    return value


def _csv_rows(data: bytes, path: PurePosixPath) -> list[list[str]]:
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
        stated, _, rest = text.partition("\n")
        if re.fullmatch(r"sep=.\r?", stated):  # Excel's own first line
            return _cells(rest, stated[4])
        mark = re.search(r"[,;\t]", re.sub(r'"[^"]*"', "", stated))
        return _cells(text, mark[0] if mark else ",")
    except UnicodeDecodeError:
        raise InvalidDataError(f"{path} is not UTF-8; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise InvalidDataError(f"{path} is not valid CSV: {error}; save it as CSV UTF-8") from None


def _cells(text: str, mark: str) -> list[list[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    return [[cell.strip() for cell in row] for row in islice(lines, MAX_ROWS + 2)]


def _xlsx_rows(data: bytes, path: PurePosixPath) -> list[list[str]]:
    import openpyxl

    try:
        file = source_files.repacked(data, str(path), _XLSX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and the like, which don't matter here
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # the file may state its own size wrongly
            rows = islice(sheet.iter_rows(values_only=True), MAX_ROWS + 2)
            return [[_text(value) for value in row] for row in rows]
    except InvalidDataError:
        raise
    except Exception as error:  # on broken files openpyxl raises any error
        why = " ".join(str(error).split())[:120]
        msg = f"{path} can't be read as .xlsx: {why}; save it again, or as CSV UTF-8"
        raise InvalidDataError(msg) from None


def _text(value: Any) -> str:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return "" if whole is None else str(whole).strip()
