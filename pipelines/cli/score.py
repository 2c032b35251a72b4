"""`hgmnet score` in a checkout: on the locked test split, counted, and compared with a version."""

import argparse
from pathlib import Path

from hgmnet.cli.score import add_score_options, figure_lines


def configure_score(parser: argparse.ArgumentParser) -> None:
    """Take the predictions, the data set, the method's name, and what to compare it with."""
    add_score_options(parser)
    parser.add_argument("--data", metavar="NAME", help="the data set, else the one of params.yaml")
    parser.add_argument("--name", required=True, help="of the method: reports/scores/<name>")
    parser.add_argument(
        "--against",
        metavar="B",
        help="compare with a version's number or alias, or a folder with per_image.csv",
    )


def run_score(root: Path, args: argparse.Namespace) -> None:
    """Print every figure with its interval, which test evaluation this was, and the comparison.

    Raises:
        ConfigError: a name can't be one, or there is no such version.
        InvalidDataError: an image of the test split has no prediction, or a file can't be read.
    """
    from hgmnet.config.params import load_params
    from pipelines.artifacts.paths import Workspace
    from pipelines.cli.registry import write_comparison
    from pipelines.operations.score import score
    from pipelines.report.console import opened

    params = load_params(root / "params.yaml")
    workspace = Workspace(root, args.data or params.data.name)
    done = score(workspace, params, args.name, args.masks, args.probabilities)
    print(f"{args.name} on the test split of {workspace.data}\n")
    print("\n".join(figure_lines(done.figures)))
    print(f"\n{opened(done.number, done.evaluations)}\nper image: {done.rows.relative_to(root)}")
    if args.against:
        page = done.rows.with_name("index.html")
        print(f"\n{write_comparison(root, str(done.rows.parent), args.against, page)}")
