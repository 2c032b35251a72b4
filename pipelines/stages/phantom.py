"""Stage `phantom`: generate the embedded data set."""

from pathlib import Path

from hgmnet import config
from hgmnet.data.phantom import generate
from pipelines.workspace import Workspace


def run(root: Path, phantom: config.Phantom) -> None:
    """Write data/phantom/raw.

    Raises:
        ConfigError: the folder holds something already, or copies of no image are asked for.
    """
    generate(phantom, Workspace(root, "phantom").raw)
