"""`hgmnet stage NAME`: one stage of dvc.yaml."""

import argparse
from pathlib import Path

from pipelines.cli.main import STAGES


def configure_stage(parser: argparse.ArgumentParser) -> None:
    """Take the stage's name."""
    parser.add_argument("name", choices=tuple(STAGES), metavar="name", help=", ".join(STAGES))


def run_stage(root: Path, args: argparse.Namespace) -> None:
    """Run it on the files of this checkout."""
    from pipelines.stages import runner

    runner.run_stage(args.name, root)
