"""`hgmnet versions`: what is registered, what each version reached, and which one serves."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.registry.versions import Registered


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the version to delete, if one is to go."""
    parser.add_argument("--delete", metavar="N", help="delete a version that has no alias")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print a line a version, newest first.

    Raises:
        ConfigError: the version to delete does not exist, or has an alias.
    """
    from hgmnet.config import load_params
    from pipelines.registry.store import http_limits, open_store_patiently
    from pipelines.registry.versions import delete, list_versions

    params = load_params(root / "params.yaml")
    name = params.registry.name
    with http_limits(timeout_s=60, retries=2):
        store = open_store_patiently(root, params.data.name)
        if args.delete:
            delete(store, name, args.delete)
            print(f"{name} version {args.delete} is deleted; its runs stay.")
        lines = list(_lines(list_versions(store, name)))
    print(f"{name}\n")
    print("\n".join(lines) if lines else "no version yet; `dvc repro` registers one that passes")


def _lines(versions: "Sequence[Registered]") -> Iterator[str]:
    if versions:
        yield "version  gate       lesion Dice  accuracy  commit   aliases"
    for one in versions:
        dice, accuracy = (
            "–" if value is None else f"{value:.3f}" for value in (one.lesion_dice, one.accuracy)
        )
        yield (
            f"{one.number:>7}  {one.gate:<11}{dice:>11}{accuracy:>10}  {one.commit:<9}"
            f"{', '.join(one.aliases)}"
        ).rstrip()
