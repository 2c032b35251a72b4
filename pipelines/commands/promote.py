"""`hgmnet promote`: hold the challenger against the champion, and let the better one serve."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.registry.bouts import Bout
    from pipelines.registry.history import Link
    from pipelines.registry.promotion import Outcome


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
    from hgmnet.config import load_params
    from hgmnet.errors import ConfigError, RejectedError
    from pipelines.artifacts import Workspace
    from pipelines.registry.bouts import Comparer
    from pipelines.registry.champion import check, decide, insist, standing
    from pipelines.registry.promotion import Request, consider
    from pipelines.registry.store import http_limits, open_store_patiently

    reason = " ".join(args.reason.split())
    if args.approve and not reason:
        raise ConfigError('expected why you approve, for the history: --reason "..."')
    params = load_params(root / "params.yaml")
    workspace = Workspace(root, params.data.name)
    name = params.registry.name
    request = Request(args.version, args.approve, reason)
    store = open_store_patiently(root, params.data.name)
    comparer = Comparer(store, params, workspace, args.data)
    found: list[Outcome] = []

    def attempt() -> "Link":
        now = standing(store, name)
        found.append(consider(comparer, now, request))
        return decide(store, name, now.champion, found[-1].resolve)

    with http_limits(timeout_s=120, retries=3):
        if args.dry_run:
            now = standing(store, name)
            outcome = consider(comparer, now, request)
            fault = check(now)
            print("\n".join(_told(name, outcome)))
            print("Dry run: nothing was changed." + (f" History: {fault}" if fault else ""))
            return
        link = insist(attempt)
    print("\n".join(_told(name, found[-1])))
    print(f"History: decision {link.number}, head {link.hash}")
    if not found[-1].promoted and found[-1].resolve.verdict:
        resolve = found[-1].resolve
        msg = f"{name} version {resolve.version} does not serve: {resolve.reason}"
        raise RejectedError(msg)


def _told(name: str, outcome: "Outcome") -> Iterator[str]:
    resolve = outcome.resolve
    for bout in outcome.bouts:
        yield from _table(name, resolve.version, bout)
        yield ""
    done = "serves from now on" if outcome.promoted else "does not take the place"
    yield f"{name} version {resolve.version} {done}: {resolve.reason}."


def _table(name: str, version: str, bout: "Bout") -> Iterator[str]:
    left_out = f", {bout.dropped} left out since one of them had seen them" if bout.dropped else ""
    yield f"{name} version {version} against {bout.against} {bout.version}"
    yield f"{bout.images} images that neither has seen{left_out}"
    yield ""
    from pipelines.report.wording import title

    head = ("figure", bout.against, "version " + version, "difference", "90 % interval", "may lose")
    yield f"{head[0]:<38}{head[1]:>9}{head[2]:>11}{head[3]:>12}  {head[4]:<18}{head[5]:>9}"
    for metric, figure in bout.comparison.figures.items():
        interval = f"{figure.lower:+.3f} to {figure.upper:+.3f}"
        yield (
            f"{title(metric):<38}{figure.before:>9.3f}{figure.after:>11.3f}"
            f"{figure.difference:>+12.3f}  {interval:<18}{bout.comparison.margins[metric]:>9.2f}"
        )
        yield (
            f"    {figure.n} images in {figure.groups} groups: sees a true gain of "
            f"{figure.sees:.3f} four times in five"
        )
