"""The repository of `contenders`, made once per test run; each test takes a copy of its own."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from tests.contenders import make_contenders
from tests.shared import once

NAME = "hgmnet-phantom"


def give_three_versions(root: Path) -> Workspace:
    """Version 1 serves, 2 is better, 3 is like 2 and waits as challenger."""
    made = once("contenders", _make)
    shutil.copytree(made, root, ignore=shutil.ignore_patterns("mlflow.db*"))
    first = (made / "made at").read_text()
    with closing(sqlite3.connect(made / "mlflow.db")) as source:
        text = "\n".join(source.iterdump()).replace(f"{first}/", f"{root}/")
    with closing(sqlite3.connect(root / "mlflow.db")) as target:
        target.executescript(text)
    return Workspace(root, "phantom")


def _make(root: Path) -> None:
    make_contenders(root)
    promote(open_comparer(root, None), Request("1"))
    (root / "made at").write_text(str(root))
