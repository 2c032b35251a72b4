"""Which model a command takes: the champion, a registered version, or a folder."""

import argparse
from pathlib import Path


def add_model_options(parser: argparse.ArgumentParser, folder: str = "a model folder") -> None:
    """Take `--model FOLDER` or `--version N`; neither is the champion."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help=folder)
    which.add_argument("--version", metavar="N", help="a registered version, not the champion")


def resolve_model(root: Path, args: argparse.Namespace) -> tuple[Path, str]:
    """The model's folder on this machine, and what to call it.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    if args.model is not None:
        return args.model, str(args.model)
    from hgmnet.config.params import load_params
    from pipelines.registry.download import fetch_model
    from pipelines.registry.tracking_store import connect_with_retries, http_limits

    params = load_params(root / "params.yaml")
    with http_limits(timeout_s=60, retries=2):
        store = connect_with_retries(root, params.data.name)
        cache = root / ".hgmnet" / "versions"
        folder, number = fetch_model(store, params.registry.name, args.version, cache)
    return folder, f"{params.registry.name} version {number}"
