"""`hgmnet promote`: hold the challenger against the champion, and let the better one serve."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the version, the images, and a person's approval."""
    parser.add_argument("--version", metavar="N", help="instead of the challenger")
    parser.add_argument("--data", metavar="NAME", help="compare on this data set, not on test")
    parser.add_argument("--dry-run", action="store_true", help="compare, and change nothing")
    parser.add_argument("--approve", action="store_true", help="you take the decision on yourself")
    parser.add_argument("--reason", default="", help="why; needed with --approve, and kept")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print both with their differences, the decision, and the head of the history.

    Raises:
        ConfigError: nothing to compare, or --approve without a reason.
        RejectedError: the version does not serve; that is recorded.
    """
    from hgmnet.errors import ConfigError, RejectedError
    from pipelines.registry.champion import check, standing
    from pipelines.registry.promotion import consider, open_comparer, promote
    from pipelines.registry.ruling import Request
    from pipelines.registry.store import http_limits
    from pipelines.registry.telling import tell

    reason = " ".join(args.reason.split())
    if args.approve and not reason:
        raise ConfigError('expected why you approve, for the history: --reason "..."')
    comparer = open_comparer(root, args.data)
    name = comparer.params.registry.name
    request = Request(args.version, args.approve, reason)
    with http_limits(timeout_s=120, retries=3):
        if args.dry_run:
            now = standing(comparer.store, name)
            fault = check(now)
            print("\n".join(tell(name, consider(comparer, now, request))))
            print("Dry run: nothing was changed." + (f" History: {fault}" if fault else ""))
            return
        outcome, link = promote(comparer, request)
    print("\n".join(tell(name, outcome)))
    print(f"History: decision {link.number}, head {link.hash}")
    if outcome.refused:
        raise RejectedError(outcome.refused)
