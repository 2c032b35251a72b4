"""`hgmnet history`: who served, since when, and why; and whether that record holds."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.registry.history import Link


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the hash that was noted elsewhere."""
    parser.add_argument("--head", metavar="HASH", help="a hash noted earlier; it must be there")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print every decision and verify the chain.

    Raises:
        ConfigError: there is no registered model.
        InvalidDataError: the history does not hold; the message names the first broken link.
    """
    from hgmnet.config import load_params
    from hgmnet.errors import InvalidDataError
    from pipelines.registry.champion import check, standing
    from pipelines.registry.store import http_limits, open_store_patiently

    params = load_params(root / "params.yaml")
    name = params.registry.name
    with http_limits(timeout_s=60, retries=2):
        now = standing(open_store_patiently(root, params.data.name), name)
    print("\n".join(_lines(now.links)) if now.links else f"{name}: nothing was decided yet")
    fault = check(now, args.head)
    if fault:
        raise InvalidDataError(f"the history of {name} is broken: {fault}")
    end = "" if args.head else "; its end is not verified, which takes --head HASH, noted elsewhere"
    print(f"\nchampion: version {now.champion or 'none'}. Head: {now.head or 'none'}")
    count = len(now.links)
    print(f"{count} decision{'s' * (count != 1)}, every link holds{end}.")


def _lines(links: "tuple[Link, ...]") -> Iterator[str]:
    for link in links:
        entry = link.entry
        if entry is None:
            yield f"{link.number:>4}  (can't be read)"
            continue
        by = f", approved by {entry.approved_by}" if entry.approved_by else ""
        over = f" Lock taken over from {entry.taken_from}." if entry.taken_from else ""
        yield (
            f"{entry.number:>4}  {entry.when}  {entry.action} {entry.version}: {entry.reason}"
            f" (champion {entry.champion or 'none'}; {entry.who}{by}).{over}  {entry.hash[:12]}"
        )
