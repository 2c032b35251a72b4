"""The repository of `contenders`, made once per test run; each test takes a copy of its own."""

import io
import shutil
from contextlib import redirect_stderr
from pathlib import Path

from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import database
from tests.contenders import make_contenders
from tests.shared import once

NAME = "hgmnet-phantom"


def give_three_versions(root: Path) -> Workspace:
    """Version 1 serves, 2 is better, 3 is like 2 and waits as challenger."""
    shutil.copytree(once("contenders", _make), root)
    with redirect_stderr(io.StringIO()):
        database.prepare(root, f"sqlite:///{root}/mlflow.db")
    return Workspace(root, "phantom")


def _make(root: Path) -> None:
    make_contenders(root)
    promote(open_comparer(root, None), Request("1"))
