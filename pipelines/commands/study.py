"""`hgmnet study`: questions about a model that take many trainings, and change nothing."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the study's name and its size."""
    studies = parser.add_subparsers(metavar="study", dest="study", required=True)
    does = "train the settings with several seeds: mean, spread, and their ensemble"
    seeds = studies.add_parser("seeds", help=does, description=does)
    seeds.add_argument(
        "--n", type=int, default=3, help="how many, from train.seed on; 3 unless told"
    )


def run(root: Path, args: argparse.Namespace) -> None:
    """Run the study to its end, or go on with one that was killed.

    Raises:
        HgmnetError: as `pipelines.studies.seeds.run` does.
    """
    from hgmnet.config import load_params
    from pipelines.studies import seeds

    seeds.run(root, load_params(root / "params.yaml"), args.n)
