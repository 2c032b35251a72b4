"""A tracking database: its address, its schema, and its artifact addresses after a move.

Imports no MLflow, which takes seconds.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import distribution, version
from itertools import product
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from hgmnet.errors import ConfigError, redact_credentials
from pipelines.artifacts.paths import checkout

ARTIFACTS = "mlartifacts"
"""Folder of a local database's artifacts."""
DEFAULT = "sqlite:///mlflow.db"
_END = f"/{ARTIFACTS}"
_LOCAL = re.compile(f"file:///.*{_END}")
_SQLITE, _ESCAPED = "sqlite:///", "sqlite+pysqlite:///"
_KINDS = ("mssql", "mysql", "postgresql", "sqlite")
_ADDRESSES = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri"), ("trace_tags", "value")),
    *(("logged_models", "artifact_location"), ("model_versions", "storage_location")),
    ("model_versions", "source"),
)
"""Tables and columns of MLflow that hold addresses of artifacts."""


def absolute(root: Path, uri: str) -> str:
    """Return a SQLite address with an absolute path, others unchanged.

    A relative path starts at the checkout of `root`. SQLAlchemy ends a path at its first `?`, so a
    path that contains one is escaped.
    """
    if not uri.startswith(_SQLITE):
        return uri
    path, mark, options = uri.removeprefix(_SQLITE).partition("?")
    if "/" in options:  # the `?` is part of the path
        path, mark, options = uri.removeprefix(_SQLITE), "", ""
    file = (checkout(root) / path).resolve()
    if "?" in str(file):
        return f"{_ESCAPED}{file.as_uri()}?uri=true{mark and '&'}{options}"
    return f"{_SQLITE}{file}{mark}{options}"


def file_of(uri: str) -> Path | None:
    """Path of a SQLite database; None for other stores."""
    if uri.startswith(_SQLITE):
        return Path(uri.removeprefix(_SQLITE).partition("?")[0])
    return path_of(uri.removeprefix(_ESCAPED)) if uri.startswith(_ESCAPED) else None


def prepare(root: Path, uri: str) -> None:
    """Check a database's schema, and correct its artifact addresses after a move or copy.

    The correction is printed as a line on stderr. Servers are left alone.

    Raises:
        ConfigError: the database is of another MLflow version.
        SQLAlchemyError, ImportError: it can't be used.
    """
    if fault := schema_fault(uri):
        raise ConfigError(f"MLflow at {redact_credentials(uri)} can't be used: {fault}")
    for old in former_folders(root, uri):
        count = _correct(uri, old, root.resolve())
        print(
            f"hgmnet: this checkout was moved or copied from {path_of(old)}: {count} artifact "
            f"addresses in MLflow's database now begin with {root.resolve()}",
            file=sys.stderr,
        )


def schema_fault(uri: str) -> str:
    """Return why this MLflow can't use a database, and the next step; empty where it can.

    MLflow itself migrates some older databases when it opens them, without a backup.

    Raises:
        SQLAlchemyError, ImportError: the database can't be read.
    """
    file = file_of(uri)
    if not uri.startswith(_KINDS) or (file and not file.exists()):
        return ""
    with _connected(uri) as database:
        if not inspect(database).has_table("alembic_version"):
            return ""
        found = database.execute(text("SELECT version_num FROM alembic_version")).scalar()
    (known, head), here = _revisions(), f"MLflow {version('mlflow')}"
    if found in {None, head}:
        return ""
    if found in known:
        return (
            f"its schema {found} is of an older MLflow ({here} needs {head}); back it up "
            f"(docs/backup.md), then `mlflow db upgrade {quote(redact_credentials(uri))}`"
        )
    return (
        f"{here} does not know its schema {found}: a newer MLflow's `mlflow db upgrade` made it; "
        "install that MLflow, or restore the backup from before (docs/backup.md)"
    )


def former_folders(root: Path, uri: str) -> list[str]:
    """Return the addresses of the folders in which this checkout's database was before.

    Only a database below `root` is this checkout's own. A folder counts if its artifacts are gone
    (a move), have a database of their own (a copy), or are here too (a restored backup). Otherwise
    the artifacts are kept elsewhere on purpose.

    Raises:
        SQLAlchemyError: the database can't be read.
    """
    root, file = root.resolve(), file_of(uri)
    if file is None or not file.is_relative_to(root) or not file.exists():
        return []
    with _connected(uri) as database:
        if not inspect(database).has_table("experiments"):
            return []
        ours = "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE 'hgmnet-%'"
        places = [one for one in database.execute(text(ours)).scalars() if _LOCAL.fullmatch(one)]
        old = [
            one.removesuffix(_END) for one in places if not _same(path_of(one), root / ARTIFACTS)
        ]
        return [one for one in old if _left(database, one, root, file.relative_to(root))]


def _left(database: Connection, old: str, root: Path, file: Path) -> bool:
    artifacts, other = path_of(old) / ARTIFACTS, path_of(old) / file
    if not artifacts.exists() or (other.exists() and not other.samefile(root / file)):
        return True
    return any(path_of(new).exists() for *_, new in _addresses(database, old, root))


def _correct(uri: str, old: str, root: Path) -> int:
    """Replace a former folder in every address, where that makes no file unreachable."""
    with _connected(uri) as database, database.begin():
        changed = [
            (table, column, {"row": row, "new": new})
            for table, column, row, before, new in _addresses(database, old, root)
            if table == "experiments" or path_of(new).exists() or not path_of(before).exists()
        ]
        for table, column, values in changed:
            query = f"UPDATE {table} SET {column} = :new WHERE rowid = :row"  # noqa: S608
            database.execute(text(query), values)
    return len(changed)


_Address = tuple[str, str, int, str, str]


def _addresses(database: Connection, old: str, root: Path) -> Iterator[_Address]:
    """Yield table, column, row, address and new address of each that is below a former folder.

    An address is a file's URI, or a plain path.
    """
    places = (f"{old}/", f"{root.as_uri()}/"), (f"{path_of(old)}/", f"{root}/")
    for table, column in _ADDRESSES:
        found = database.execute(text(f"SELECT rowid, {column} FROM {table}"))  # noqa: S608
        for (row, address), (before, now) in product(found.tuples(), places):
            if address and address.startswith(before):
                yield table, column, row, address, now + address.removeprefix(before)


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name one folder, which may be missing."""
    there = one.exists() and other.exists()
    return one.samefile(other) if there else one.resolve() == other.resolve()


def path_of(address: str) -> Path:
    """The path of a file's URI, or of a plain path."""
    return Path(url2pathname(urlsplit(address).path) if address.startswith("file:") else address)


@contextmanager
def _connected(uri: str) -> Iterator[Connection]:
    with create_engine(uri, poolclass=NullPool).connect() as database:
        yield database


@cache
def _revisions() -> tuple[frozenset[str], str]:
    """Every schema revision that the installed MLflow knows, and the newest."""
    folder = distribution("mlflow").locate_file("mlflow/store/db_migrations/versions")
    texts = [script.read_text(encoding="utf-8") for script in Path(str(folder)).glob("*.py")]
    known, before = (
        {r for t in texts for r in re.findall(rf'^{name} = "(\w+)"', t, re.MULTILINE)}
        for name in ("revision", "down_revision")
    )
    (newest,) = known - before
    return frozenset(known), newest
