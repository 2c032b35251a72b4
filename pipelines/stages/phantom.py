"""Stage `phantom`: generate the embedded data set."""

from pathlib import Path

from hgmnet.config import data
from hgmnet.phantom.generate import generate
from pipelines.artifacts.paths import Workspace


def run(root: Path, phantom: data.Phantom) -> None:
    """Write data/phantom/raw; ConfigError if it is not empty, or there is nothing to copy."""
    generate(phantom, Workspace(root, "phantom").raw)
