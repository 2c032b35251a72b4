"""A repository with one registered version, in a second: nobody loads it back to check it."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from hgmnet.config.params import load_params
from pipelines.artifacts.paths import Workspace
from pipelines.registry import verification
from pipelines.stages import register
from tests.tiny_repository import make_repository

NAME = "hgmnet-phantom"


def make_one_version(root: Path) -> Workspace:
    """Version 1, a challenger; commands can be typed there."""
    workspace = make_repository(root)
    (root / "dvc.yaml").touch()
    register_model(workspace)
    return workspace


def register_model(workspace: Workspace) -> None:
    """Register its model: not loaded back, and without a page, each of which takes seconds."""
    params = load_params(workspace.root / "params.yaml")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        patch.setattr(verification, "verify", lambda *_: None)
        patch.setattr(register, "write_page", lambda *_: None)
        register.run(workspace.root, params.data, params.registry)
