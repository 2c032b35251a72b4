"""A tracking database's address and schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.db.utils import _get_latest_schema_revision

from hgmnet.errors import ConfigError
from pipelines.registry import database
from pipelines.registry.tracking_store import open_tracking_store
from tests.shared import give_mlflow_db


@pytest.mark.parametrize(
    ("uri", "absolute", "file"),
    [
        ("sqlite:///mlflow.db", "sqlite:////a/b/mlflow.db", "/a/b/mlflow.db"),
        ("sqlite:////c/d.db?timeout=9", "sqlite:////c/d.db?timeout=9", "/c/d.db"),
        ("sqlite:////c%20d#/é.db", "sqlite:////c%20d#/é.db", "/c%20d#/é.db"),
        (
            "sqlite:////c?/d.db",
            "sqlite+pysqlite:///file:///c%3F/d.db?uri=true",
            "/c?/d.db",
        ),
        ("http://host:5000", "http://host:5000", None),
        ("postgresql+pg8000://host/db", "postgresql+pg8000://host/db", None),
    ],
)
def test_an_address_names_one_file(uri: str, absolute: str, file: str | None) -> None:
    made = database.absolute(Path("/a/b"), uri)
    assert made == absolute
    assert database.file_of(made) == (file and Path(file))
    assert database.absolute(Path("/e"), made) == made


def test_the_newest_schema_is_the_one_that_mlflow_names() -> None:
    known, newest = database._revisions()
    assert newest == _get_latest_schema_revision()
    assert "451aebb31d03" in known


def changed(root: Path, *statements: str) -> Path:
    give_mlflow_db(root)
    with closing(sqlite3.connect(root / "mlflow.db")) as open_, open_:
        for statement in statements:
            open_.execute(statement)
    return root / "mlflow.db"


@pytest.mark.parametrize(
    ("revision", "next_step"),
    [("451aebb31d03", "`mlflow db upgrade sqlite:///"), ("f" * 12, "install that MLflow")],
)
def test_a_database_of_another_mlflow_is_refused_and_not_migrated(
    tmp_path: Path, revision: str, next_step: str
) -> None:
    """MLflow migrates a database that lacks a table as soon as it opens it."""
    set_back = f"UPDATE alembic_version SET version_num = '{revision}'"  # noqa: S608
    file = changed(tmp_path, set_back, "DROP TABLE webhook_events", "DROP TABLE webhooks")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=revision) as raised:
        open_tracking_store(tmp_path, "phantom", 5)
    assert next_step in str(raised.value)
    assert file.read_bytes() == before


def test_an_empty_file_and_a_missing_one_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert database.schema_fault(f"sqlite:///{tmp_path}/empty.db") == ""
    assert database.schema_fault(f"sqlite:///{tmp_path}/missing.db") == ""
    assert not (tmp_path / "missing.db").exists()
