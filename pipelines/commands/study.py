"""`hgmnet study`: questions about a model that take many trainings, and change nothing."""

import argparse
import importlib
from functools import partial
from pathlib import Path

CELLS = {
    "crossval": "judge every image of train and val once, by a model that never saw it",
    "leakage": "the same recipe on a naive random split and on the grouped one",
    "ablation": "take each part of the model away, on the same folds and seeds",
    "curve": "figures over 10, 25, 50, 75 and 100 % of the training groups",
}
"""The studies made of cells; each is `pipelines/studies/<name>.py`, with a `design`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the study's name and its size."""
    studies = parser.add_subparsers(metavar="study", dest="study", required=True)
    does = "train the settings with several seeds: mean, spread, and their ensemble"
    seeds = studies.add_parser("seeds", help=does, description=does)
    seeds.add_argument(
        "--n", type=int, default=3, help="how many, from train.seed on; 3 unless told"
    )
    for name, said in CELLS.items():
        study = studies.add_parser(name, help=said, description=said)
        _size(study)
        if name == "ablation":
            study.add_argument("--only", nargs="+", default=[], help="variants beside the full one")


def _size(study: argparse.ArgumentParser) -> None:
    study.add_argument("--folds", type=int, help="of the cross-validation; 5 unless told")
    study.add_argument("--seeds", type=int, help="trainings a fold, from train.seed on; 1")
    study.add_argument(
        "--all", action="store_true", help="the test split takes part too: an opening"
    )
    study.add_argument("--dry-run", action="store_true", help="say what it would cost, and stop")
    study.add_argument(
        "--drop-models", action="store_true", help="keep each model's rows alone, to save disk"
    )
    study.add_argument(
        "--smoke", action="store_true", help="a few images, 2 folds, 1 epoch: see that it runs"
    )


def run(root: Path, args: argparse.Namespace) -> None:
    """Run the study to its end, or go on with one that was killed.

    Raises:
        HgmnetError: as `pipelines.studies.engine.carry_out` and `pipelines.studies.seeds.run` do.
    """
    from hgmnet.config import load_params

    params = load_params(root / "params.yaml")
    if args.study == "seeds":
        from pipelines.studies import seeds

        seeds.run(root, params, args.n)
        return
    from pipelines.studies.design import Size
    from pipelines.studies.engine import carry_out

    folds = args.folds if args.folds is not None else 2 if args.smoke else 5
    size = Size(
        folds=folds,
        seeds=1 if args.seeds is None else args.seeds,
        everything=args.all,
        smoke=args.smoke,
    )
    declare = importlib.import_module(f"pipelines.studies.{args.study}").design
    if args.study == "ablation":
        declare = partial(declare, only=args.only)
    keep, only_say = not args.drop_models, args.dry_run
    carry_out(root, params, declare, size, keep=keep, only_say=only_say)
