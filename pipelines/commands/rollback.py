"""`hgmnet rollback`: let an earlier champion serve again."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the version and the reason."""
    parser.add_argument("--to", metavar="N", help="a version that has served; else the one before")
    parser.add_argument("--reason", required=True, help="why; kept in the history")


def run(root: Path, args: argparse.Namespace) -> None:
    """Move the alias back and record it.

    Raises:
        ConfigError: no reason, nothing to return to, or that version never served.
    """
    from hgmnet.config import load_params
    from hgmnet.errors import ConfigError
    from pipelines.openings import user
    from pipelines.registry.champion import Resolve, decide, served, served_before, standing
    from pipelines.registry.store import http_limits, open_store_patiently

    reason = " ".join(args.reason.split())
    if not reason:
        raise ConfigError('expected why, for the history: --reason "..."')
    params = load_params(root / "params.yaml")
    name = params.registry.name
    store = open_store_patiently(root, params.data.name)
    with http_limits(timeout_s=60, retries=2):
        now = standing(store, name)
        version = args.to or served_before(now.links)
        if not version:
            raise ConfigError(f"{name}: no version served before {now.champion or 'now'}")
        if version not in served(now.links):
            told = ", ".join(served(now.links)) or "none"
            raise ConfigError(f"{name} version {version} never served; these did: {told}")
        back = Resolve("rolled back", version, version, version, reason, "", user())
        link = decide(store, name, now.champion, back, repair=True)
    print(f"{name} version {version} serves again, after version {now.champion or 'none'}.")
    print(f"History: decision {link.number}, head {link.hash}")
