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
from pipelines.registry.tracking_store import TrackingStore, all_runs, beside, create_run

KIND = "promotion"
_TOPIC = "promotions"
"""Decisions have an experiment of their own; earlier releases wrote them beside the trainings."""
FIRST = ""
"""The first decision's `previous` hash."""
_TEXT, _HASH, _NUMBER, _NAME = (
    f"hgmnet.history.{part}" for part in ("text", "hash", "number", "name")
)


Action = Literal["promoted", "kept", "rolled back", "adopted"]


class DecisionRecord(Frozen):
    """One decision about which version serves.

    `champion`, `anchor`: the versions after it, empty for none. `verdict`: of the comparison, empty
    without one. `approved_by`: empty where no approval was needed. `taken_from`: last holder of an
    abandoned lock. `evidence`: figures by name. `champion_model`, `anchor_model`: the versions'
    model hashes; empty in records of earlier releases. `signature`: of the approval, by
    `pipelines.registry.signatures`; empty where nobody signed.
    """

    number: int
    previous: str
    when: str
    who: str
    host: str
    action: Action
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
    champion_model: str = ""
    anchor_model: str = ""
    signature: str = ""

    @property
    def text(self) -> str:
        """Canonical JSON, hashed and stored; without an empty signature, for the release before."""
        left_out = set() if self.signature else {"signature"}
        plain = self.model_dump(mode="json", exclude=left_out)
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))

    @property
    def summary(self) -> str:
        """What was decided, in words."""
        if self.action == "kept":
            other = f", did not promote {self.version}" if self.version != self.champion else ""
            return f"kept the champion {self.champion or '(none)'}{other}"
        return (
            f"rolled back to {self.version}"
            if self.action == "rolled back"
            else (f"{self.action} {self.version}")
        )

    @property
    def hash(self) -> str:
        """SHA-256 of the text, which contains the previous decision's hash."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Link:
    """A decision as stored in MLflow; `entry` is None where its text can't be parsed.

    `number`: its stored position, from 1. `text_hash`: SHA-256 of the stored text. `done`: the
    aliases were moved; false where the process died before that.
    """

    run_id: str
    number: int
    entry: DecisionRecord | None
    hash: str
    text_hash: str
    done: bool


def read_history(store: TrackingStore, name: str) -> tuple[Link, ...]:
    """Read every decision about a registered model, by number."""
    query = f"tags.`hgmnet.kind` = '{KIND}' and tags.`{_NAME}` = '{name}'"
    places = filter(None, (store, beside(store, _TOPIC)))
    links = (_link(run) for place in places for run in all_runs(place, query))
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
        "mlflow.source.name": "hgmnet promote",
        "mlflow.note.content": _note(entry),
    }
    place = beside(store, _TOPIC, create=True) or store
    run_id = create_run(place, f"{entry.number} {entry.summary}", tags)
    return Link(run_id, entry.number, entry, entry.hash, entry.hash, done=False)


def _note(entry: DecisionRecord) -> str:
    """Describe the decision in Markdown, for MLflow's page."""
    version = f"[version {entry.version}](#/models/{entry.name}/versions/{entry.version})"
    return (
        f"Decision {entry.number} about {entry.name}: {entry.summary} ({version}). Champion "
        f"before: {entry.champion_before or 'none'}; after: {entry.champion or 'none'}. "
        f"Reason: {entry.reason}.\n\nThe record is in the tags, each with the hash of the one "
        "before; `hgmnet history` checks them. Changing or deleting this run shows there, and "
        "stops promotions."
    )


def finish(store: TrackingStore, link: Link) -> None:
    """Mark a decision as done: its aliases were moved."""
    store.client.set_terminated(link.run_id)


def chain_fault(links: Sequence[Link], head: str | None = None) -> str | None:
    """Return the first fault in a chain of decisions; None where there is none.

    `head`: a decision's hash noted outside MLflow; it must be in the chain.
    """
    previous = FIRST
    for number, link in enumerate(links, start=1):
        if fault := _fault(link, number, previous):
            return f"decision {number} (run {link.run_id}): {fault}"
        previous = link.hash
    if head is not None and head not in {link.hash for link in links}:
        return f"no decision has the hash {head}: the chain was rewritten, or cut short"
    return None


def rolled_back(links: Sequence[Link], version: str) -> int:
    """Number of the decision that rolled a version back; 0: none, or it has served again since."""
    last = 0
    for entry in (link.entry for link in links if link.entry):
        if entry.champion == version:
            last = 0
        elif entry.action == "rolled back" and entry.champion_before == version:
            last = entry.number
    return last


def _fault(link: Link, number: int, previous: str) -> str | None:
    if link.entry is None:
        return "its text can't be read; it was changed"
    if link.text_hash != link.hash:
        return "its text does not have the hash that was kept with it; it was changed"
    if link.entry.number != number:
        return f"it calls itself number {link.entry.number}; one is missing or was slipped in"
    if link.entry.previous != previous:
        return "it does not name the hash of the one before; that one was changed or exchanged"
    return None


def _link(run: Run) -> Link:
    tags = run.data.tags
    text = tags.get(_TEXT, "")
    try:
        entry = DecisionRecord.model_validate_json(text)
    except ValidationError:
        entry = None
    done = run.info.status == RunStatus.to_string(RunStatus.FINISHED)
    kept = tags.get(_NUMBER, "")
    number = int(kept) if kept.isdecimal() else 0
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Link(str(run.info.run_id), number, entry, tags.get(_HASH, ""), digest, done)
