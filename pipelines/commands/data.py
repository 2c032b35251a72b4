"""`hgmnet data`: questions about images that are not, or not yet, in a data set."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the verb and what it is about."""
    verbs = parser.add_subparsers(metavar="verb", dest="verb", required=True)
    does = "compare a folder of images with those that a model was made from"
    profile = verbs.add_parser("profile", help=does, description=does)
    profile.add_argument("folder", type=Path, help="images, in folders or not; masks are left out")
    profile.add_argument("--model", type=Path, help="a model folder, else models/hgmnet")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print a line a column, write reports/drift.json and Great Expectations' pages.

    That images drifted is a finding, not an error: drift.json has it.

    Raises:
        ConfigError: the model is absent or damaged.
        InvalidDataError: its profile is, or the folder holds no image that can be read.
    """
    from pipelines.drift_report import profile_folder, tell

    report = profile_folder(root, args.folder, args.model or root / "models" / "hgmnet")
    print("\n".join(tell(report)))
