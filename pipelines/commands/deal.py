"""`hgmnet deal`: deal the split anew. Figures from before and after can't be compared."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the reason, which split.json keeps."""
    parser.add_argument("--reason", required=True, help="why; kept in split.json")


def run(root: Path, args: argparse.Namespace) -> None:
    """Deal every image of the data set anew, by the seed and fractions of params.yaml.

    Raises:
        ConfigError: the reason is empty.
        InvalidDataError: the manifest is absent or did not pass validation.
    """
    from hgmnet.config import load_params
    from hgmnet.errors import ConfigError
    from pipelines.stages.split import deal

    reason = " ".join(args.reason.split())
    if not reason:
        msg = 'expected a reason that someone will understand in a year: --reason "..."'
        raise ConfigError(msg)
    params = load_params(root / "params.yaml")
    deal(root, params.data, params.split, reason)
    print(f"Dealt anew: {params.data.name}. Models from before were tested on other images.")
    print("Next: dvc repro")
