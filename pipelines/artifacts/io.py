"""Read and write the files passed between stages: JSON and CSV, written atomically."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hgmnet.data.atomic import write_table, write_text
from hgmnet.errors import InvalidDataError

T = TypeVar("T", bound=BaseModel)


def write_json(path: Path, value: BaseModel | Mapping[str, Any]) -> None:
    """Write a value as sorted, indented JSON, atomically."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, kind: type[T]) -> T:
    """Read JSON of `write_json`; InvalidDataError if it is absent or is not a `kind`."""
    try:
        return kind.model_validate_json(path.read_bytes(), strict=False)
    except FileNotFoundError:
        raise InvalidDataError(f"{path} is missing; `dvc repro` makes it") from None
    except ValidationError as error:
        msg = f"{path} is no {kind.__name__}: {error.errors()[0]['msg']}; remake it: dvc repro -f"
        raise InvalidDataError(msg) from None


def write_rows(path: Path, kind: type[T], rows: Iterable[T]) -> None:
    """Write values as CSV, one column per field of `kind`; tuples are joined by `|`."""
    write_table(path, tuple(kind.model_fields), (row.model_dump(mode="json") for row in rows))


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """Read CSV of `write_rows`; InvalidDataError, with line, if absent or a row is no `kind`."""
    rows = read_table(path)
    tuples = {name for name, field in kind.model_fields.items() if "tuple" in str(field.annotation)}
    read = []
    for number, row in enumerate(rows, start=2):
        parts = {k: tuple(filter(None, (row[k] or "").split("|"))) for k in tuples & row.keys()}
        try:
            read.append(kind.model_validate({**row, **parts}, strict=False))
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{path}, line {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise InvalidDataError(msg) from None
    return read


def read_table(path: Path) -> list[dict[str, str]]:
    """Read CSV rows as text by column name; InvalidDataError if absent, or not UTF-8."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise InvalidDataError(f"{path} is missing; `dvc repro` makes it") from None
    except UnicodeDecodeError:
        msg = f"{path} is not UTF-8; save it as CSV UTF-8, or restore it"
        raise InvalidDataError(msg) from None
