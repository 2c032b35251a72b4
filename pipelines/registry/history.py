"""History of serving versions: decisions in MLflow, each with the hash of the previous one.

Changing, deleting or inserting a decision breaks the next link. A chain rewritten as a whole has
another last hash (head) than the one noted outside MLflow.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlflow.entities import Run, RunStatus
from pydantic import ValidationError

from hgmnet.config.base import Frozen
from pipelines.registry.tracking_store import TrackingStore, all_runs, create_run

KIND = "promotion"
FIRST = ""
"""The first decision's `previous` hash."""
_TEXT, _HASH, _NUMBER, _NAME = (
    f"hgmnet.history.{part}" for part in ("text", "hash", "number", "name")
)


class DecisionRecord(Frozen):
    """One decision about which version serves.

    `champion`, `anchor`: the versions after it, empty for none. `verdict`: of the comparison, empty
    without one. `approved_by`: empty where no approval was needed. `taken_from`: last holder of an
    abandoned lock. `evidence`: figures by name.
    """

    number: int
    previous: str
    when: str
    who: str
    host: str
    action: Literal["promoted", "kept", "rolled back"]
    name: str
    version: str
    champion_before: str
    champion: str
    anchor: str
    verdict: str
    approved_by: str
    reason: str
    taken_from: str
    evidence: dict[str, str]

    @property
    def text(self) -> str:
        """The decision as canonical JSON, which is hashed and stored."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """SHA-256 of the text, which contains the previous decision's hash."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Link:
    """A decision as stored in MLflow; `entry` is None where its text can't be parsed.

    `number`: its stored position, from 1. `done`: the aliases were moved; false where the process
    died before that.
    """

    run_id: str
    number: int
    entry: DecisionRecord | None
    hash: str
    done: bool


def read_history(store: TrackingStore, name: str) -> tuple[Link, ...]:
    """Read every decision about a registered model, by number."""
    query = f"tags.`hgmnet.kind` = '{KIND}' and tags.`{_NAME}` = '{name}'"
    links = map(_link, all_runs(store, query))
    return tuple(sorted(links, key=lambda link: link.number))


def append(store: TrackingStore, entry: DecisionRecord) -> Link:
    """Record a decision before its aliases move; `finish` marks that they have."""
    tags = {
        "hgmnet.kind": KIND,
        _NAME: entry.name,
        _NUMBER: str(entry.number),
        _TEXT: entry.text,
        _HASH: entry.hash,
        "mlflow.user": entry.who,
    }
    run_id = create_run(store, f"{entry.number} {entry.action} {entry.version}", tags)
    return Link(run_id, entry.number, entry, entry.hash, done=False)


def finish(store: TrackingStore, link: Link) -> None:
    """Mark a decision as done: its aliases were moved."""
    store.client.set_terminated(link.run_id)


def first_fault(links: Sequence[Link], champion: str, head: str | None = None) -> str | None:
    """Return the first fault in a history; None where there is none.

    `champion`: the version that has the alias now, empty for none. `head`: a decision's hash noted
    outside MLflow; it must be in the chain.
    """
    previous = FIRST
    for number, link in enumerate(links, start=1):
        if fault := _fault(link, number, previous):
            return f"decision {number} (run {link.run_id}): {fault}"
        previous = link.hash
    if head is not None and head not in {link.hash for link in links}:
        return f"no decision has the hash {head}: the chain was rewritten, or cut short"
    last = links[-1].entry if links else None
    if champion != (last.champion if last else ""):
        said = f"version {last.champion}" if last and last.champion else "none"
        return f"champion is version {champion or 'none'}, but the last decision says {said}"
    return None


def _fault(link: Link, number: int, previous: str) -> str | None:
    if link.entry is None:
        return "its text can't be read; it was changed"
    if link.entry.hash != link.hash:
        return "its text does not have the hash that was kept with it; it was changed"
    if link.entry.number != number:
        return f"it calls itself number {link.entry.number}; one is missing or was slipped in"
    if link.entry.previous != previous:
        return "it does not name the hash of the one before; that one was changed or exchanged"
    return None


def _link(run: Run) -> Link:
    tags = run.data.tags
    try:
        entry = DecisionRecord.model_validate_json(tags.get(_TEXT, ""))
    except ValidationError:
        entry = None
    done = run.info.status == RunStatus.to_string(RunStatus.FINISHED)
    kept = tags.get(_NUMBER, "")
    number = int(kept) if kept.isdecimal() else 0
    return Link(str(run.info.run_id), number, entry, tags.get(_HASH, ""), done)
