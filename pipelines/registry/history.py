"""The history of what served: decisions in MLflow, each naming the hash of the one before.

Whoever changes, drops or inserts one breaks a link after it. Whoever writes the whole chain again
can't know the hash of its last link, the head, that was noted elsewhere.
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
"""What the first decision names as the one before."""
_TEXT, _HASH, _NUMBER, _NAME = (
    f"hgmnet.history.{part}" for part in ("text", "hash", "number", "name")
)


class DecisionRecord(Frozen):
    """One decision about which version serves.

    `champion`, `anchor`: as they are from then on, empty for none. `verdict`: what a comparison
    said, empty where there was none. `approved_by`: empty where nobody needed to. `taken_from`:
    whose abandoned lock was taken over. `evidence`: figures behind it, by name.
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
        """The decision as canonical JSON: what is hashed and stored."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The sha256 of its text, which holds the hash of the one before."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Link:
    """A decision as MLflow has it; `entry` is None where its text is none any more.

    `number`: where it says that it stands. `done`: the aliases were moved as it says; false where
    a process died just before.
    """

    run_id: str
    number: int
    entry: DecisionRecord | None
    hash: str
    done: bool


def read_history(store: TrackingStore, name: str) -> tuple[Link, ...]:
    """Every decision about a registered model, in their order."""
    query = f"tags.`hgmnet.kind` = '{KIND}' and tags.`{_NAME}` = '{name}'"
    links = map(_link, all_runs(store, query))
    return tuple(sorted(links, key=lambda link: link.number))


def append(store: TrackingStore, entry: DecisionRecord) -> Link:
    """Write a decision down before its aliases move; `finish` says that they have."""
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
    """Say that the aliases are as a decision says."""
    store.client.set_terminated(link.run_id)


def first_fault(links: Sequence[Link], champion: str, head: str | None = None) -> str | None:
    """What is wrong with a history, from its beginning; None where nothing is.

    `champion`: the version that has the alias now, empty for none. `head`: the hash of a decision,
    noted outside MLflow; it must be in the chain.
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
