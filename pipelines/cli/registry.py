"""Commands that list versions and decide which one serves: versions, promote, rollback, history."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.options import open_registry, reason

if TYPE_CHECKING:
    from pipelines.registry.aliases import RegistryState
    from pipelines.registry.history import Link
    from pipelines.registry.versions import Registered


def configure_versions(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the version to delete."""
    parser.add_argument("--delete", metavar="N", help="delete a version that has no alias")


def run_versions(root: Path, args: argparse.Namespace) -> None:
    """Print one line per version, newest first; with --delete, delete one before.

    Raises:
        ConfigError: the version to delete does not exist, or has an alias.
    """
    from pipelines.registry.aliases import delete
    from pipelines.registry.versions import list_versions

    with open_registry(root) as registry:
        if args.delete:
            delete(registry.store, registry.name, args.delete)
            print(f"{registry.name} version {args.delete} is deleted; its runs stay.")
        lines = list(_versions(list_versions(registry.store, registry.name)))
    print(f"{registry.name}\n")
    print("\n".join(lines) if lines else "no version yet; `dvc repro` registers one that passes")
    if lines:
        print("\nThe page about one, to sign: hgmnet report --version N")


def _versions(versions: "Sequence[Registered]") -> Iterator[str]:
    if versions:
        yield "version  gate       lesion Dice  accuracy  commit   aliases"
    for one in versions:
        dice, accuracy = (
            "–" if value is None else f"{value:.3f}" for value in (one.lesion_dice, one.accuracy)
        )
        figures = f"{one.gate:<11}{dice:>11}{accuracy:>10}"
        missing = f"  (missing: {one.missing})" if one.missing else ""
        aliases = ", ".join(one.aliases)
        yield f"{one.number:>7}  {figures}  {one.commit:<9}{aliases}{missing}".rstrip()


def configure_promote(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for version, data set and approval."""
    parser.add_argument("--version", metavar="N", help="or an alias; instead of the challenger")
    parser.add_argument("--data", metavar="NAME", help="compare on this data set, not on test")
    parser.add_argument("--dry-run", action="store_true", help="compare, and change nothing")
    parser.add_argument("--approve", action="store_true", help="approve it in your own name")
    moved = "record that the alias champion was moved in MLflow; needs --reason"
    parser.add_argument("--adopt", action="store_true", help=moved)
    parser.add_argument("--reason", default="", help="why; needed with --approve, and kept")
    parser.add_argument("--by", default="", metavar="NAME", help="who approves (default: you)")
    signed = "sign the approval with this SSH key; `history --verify` checks it"
    parser.add_argument("--sign", type=Path, metavar="KEY", help=signed)


def run_promote(root: Path, args: argparse.Namespace) -> None:
    """Print the comparison, the decision, and the head of the history.

    Raises:
        ConfigError: nothing to compare, or --approve or --adopt without a reason.
        RejectedError: the version is not promoted; that is recorded.
    """
    from hgmnet.errors import ConfigError, RejectedError
    from pipelines.promotion.promote import Request, adopt, open_comparer, promote, propose
    from pipelines.promotion.text import format_promotion
    from pipelines.registry.aliases import registry_state
    from pipelines.registry.signatures import sign
    from pipelines.registry.tracking_store import http_limits, store_errors_as_messages

    why, by = " ".join(args.reason.split()), " ".join(args.by.split())
    if args.approve and sys.stdin.isatty():
        by = by or _ask("Who approves (Enter: you): ")
        why = why or _ask("Why, for the history: ")
    if args.approve or args.adopt:
        why = reason(why, "why you approve, for the history")
    if args.sign and not args.approve:
        raise ConfigError("--sign signs an approval; add --approve")
    comparer = open_comparer(root, args.data)
    name = comparer.params.registry.name
    signing = partial(sign, args.sign) if args.sign else None
    request = Request(args.version, args.approve, why, by, signing)
    with http_limits(timeout_s=120, retries=3), store_errors_as_messages(root):
        if args.adopt:
            link = adopt(comparer, why)
            version = link.entry.champion if link.entry else ""
            print(f"{name} version {version} serves, as set in MLflow; that is recorded now.")
            print(f"History: decision {link.number}, head {link.hash}")
            return
        if args.dry_run:
            now = registry_state(comparer.store, name)
            print("\n".join(format_promotion(name, propose(comparer, now, request))))
            print("Dry run: nothing was changed.")
            return
        outcome, link = promote(comparer, request)
    print("\n".join(format_promotion(name, outcome)))
    print(f"History: decision {link.number}, head {link.hash}")
    if outcome.refused:
        raise RejectedError(outcome.refused)


def _ask(question: str) -> str:
    """Ask at the terminal; the end of input is an empty answer."""
    try:
        return " ".join(input(question).split())
    except EOFError:
        print()
        return ""


def configure_rollback(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for version and reason."""
    parser.add_argument("--to", metavar="N", help="a former champion (default: the previous one)")
    parser.add_argument("--reason", required=True, help="why; kept in the history")
    other = "accept a version that was judged with another change plan than pccp.yaml"
    parser.add_argument("--other-plan", action="store_true", help=other)


def run_rollback(root: Path, args: argparse.Namespace) -> None:
    """Move the champion alias back and record it.

    Raises:
        ConfigError: no reason; and as `pipelines.promotion.promote.rollback`.
        InvalidDataError: the version is not the model that was registered.
    """
    from pipelines.promotion.promote import open_comparer, rollback
    from pipelines.registry.tracking_store import http_limits, store_errors_as_messages

    why = reason(args.reason, "why, for the history")
    comparer = open_comparer(root, None)
    with http_limits(timeout_s=120, retries=3), store_errors_as_messages(root):
        now, link = rollback(comparer, args.to, why, other_plan=args.other_plan)
    version = link.entry.champion if link.entry else ""
    after = f"after version {now.champion or 'none'}"
    print(f"{comparer.params.registry.name} version {version} serves again, {after}.")
    print(f"History: decision {link.number}, head {link.hash}")


def configure_history(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the noted hash."""
    parser.add_argument("--head", metavar="HASH", help="a noted hash that the history must contain")
    allowed = "check the signatures of approvals: a file of allowed signers, as ssh-keygen(1) says"
    parser.add_argument("--verify", type=Path, metavar="FILE", help=allowed)


def run_history(root: Path, args: argparse.Namespace) -> None:
    """Print every decision and verify the chain.

    Raises:
        ConfigError: there is no registered model.
        InvalidDataError: the history is broken; the message names the first broken link. The
            champion is not the model that was registered.
    """
    from hgmnet.errors import InvalidDataError
    from pipelines.artifacts.paths import Workspace
    from pipelines.registry.aliases import check, registry_state
    from pipelines.registry.loading import load_version

    with open_registry(root) as registry:
        name, cache = registry.name, Workspace(root, registry.params.data.name).versions
        now = registry_state(registry.store, name)
        print("\n".join(_decisions(now.links)) if now.links else f"{name}: nothing was decided yet")
        if fault := check(now, args.head):
            raise InvalidDataError(f"the history of {name} is broken: {fault}{_next_step(now)}")
        if now.champion:
            load_version(registry.store, name, None, cache)
    if args.verify:
        _print_signatures(now.links, args.verify)
    end = "" if args.head else "; to verify its end, add --head HASH, noted elsewhere"
    print(f"\nchampion: version {now.champion or 'none'}. Head: {now.head or 'none'}")
    count = len(now.links)
    print(f"{count} decision{'s' * (count != 1)}, every link holds{end}.")


def _print_signatures(links: "tuple[Link, ...]", allowed: Path) -> None:
    """Print a line per decision of a person; InvalidDataError at the end for a wrong signature."""
    from hgmnet.errors import InvalidDataError
    from pipelines.registry.signatures import signer

    wrong = []
    by_person = [link.entry for link in links if link.entry and link.entry.approved_by]
    print("" if by_person else "\nNo decision was a person's; there is no signature to verify.")
    for one in by_person:
        state = "not signed"
        if one.signature:
            try:
                state = f"signed by {signer(one, allowed)}"
            except InvalidDataError as error:
                state = str(error)
                wrong.append(state)
        print(f"decision {one.number}, {one.summary}, by {one.approved_by}: {state}")
    if wrong:
        raise InvalidDataError("; ".join(wrong))


def _next_step(now: "RegistryState") -> str:
    """What a person can do about an alias that is not the last decision's; empty: nothing here."""
    from pipelines.registry.aliases import deleted, moved_by_hand
    from pipelines.registry.history import chain_fault

    if chain_fault(now.links):
        return ""
    if moved_by_hand(now):
        return (
            "; `hgmnet promote --adopt --reason ...` records a moved alias if gate and plan allow "
            "it, `hgmnet rollback --reason ... --to N` sets the aliases again"
        )
    return "; `hgmnet promote` or `rollback` lets another version serve" if deleted(now) else ""


def _decisions(links: "tuple[Link, ...]") -> Iterator[str]:
    for link in links:
        entry = link.entry
        if entry is None:
            yield f"{link.number:>4}  (can't be read)"
            continue
        by = f", approved by {entry.approved_by}" if entry.approved_by else ""
        over = f" Lock taken over from {entry.taken_from}." if entry.taken_from else ""
        yield (
            f"{entry.number:>4}  {entry.when}  {entry.summary}: {entry.reason}"
            f" (champion {entry.champion or 'none'}; {entry.who}{by}).{over}  {entry.hash[:12]}"
        )
