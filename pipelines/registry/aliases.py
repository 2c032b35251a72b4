"""Which version serves: the aliases, moved only together with a decision in the history."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError
from pipelines.artifacts.test_evaluations import user
from pipelines.registry.history import (
    FIRST,
    DecisionRecord,
    Link,
    append,
    finish,
    first_fault,
    read_history,
)
from pipelines.registry.lock import locked
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import ANCHOR, CHALLENGER, CHAMPION
from pipelines.system.urls import redact_credentials


@dataclass(frozen=True)
class RegistryState:
    """Who holds which alias, empty for nobody, and every decision that led there."""

    champion: str
    challenger: str
    anchor: str
    links: tuple[Link, ...]

    @property
    def head(self) -> str:
        """The hash of the last decision; empty where there is none."""
        return self.links[-1].hash if self.links else FIRST


@dataclass(frozen=True)
class PromotionDecision:
    """What to do, and why; the rest of the entry is known when it is done.

    `champion`, `anchor`: as they shall be.
    """

    action: Literal["promoted", "kept", "rolled back"]
    version: str
    champion: str
    anchor: str
    reason: str
    verdict: str = ""
    approved_by: str = ""
    evidence: tuple[tuple[str, str], ...] = ()


class ChangedError(ConfigError):
    """Another champion serves than the one that was compared with."""


def registry_state(store: TrackingStore, name: str) -> RegistryState:
    """As it is now.

    Raises:
        ConfigError: there is no such registered model.
    """
    try:
        aliases = store.client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        where = redact_credentials(store.uri)
        msg = f"{name} has no version at {where}; `dvc repro` registers one that passes"
        raise ConfigError(msg) from None
    held = {alias: str(version) for alias, version in aliases.items()}
    champion, challenger, anchor = (held.get(a, "") for a in (CHAMPION, CHALLENGER, ANCHOR))
    return RegistryState(champion, challenger, anchor, read_history(store, name))


def check(now: RegistryState, head: str | None = None) -> str | None:
    """What is wrong with history and aliases; None where nothing is."""
    return first_fault(now.links, {CHAMPION: now.champion}, head)


def decide(
    store: TrackingStore,
    name: str,
    compared_with: str,
    resolve: PromotionDecision,
    *,
    repair: bool = False,
) -> Link:
    """Write a decision down and move the aliases, alone.

    A decision whose process died before the aliases moved is carried out first.

    Args:
        store: the tracking store.
        name: of the registered model.
        compared_with: the champion that the decision was made against.
        resolve: what to do.
        repair: go on where somebody moved the alias past us; the chain itself must hold.

    Raises:
        ChangedError: another one is champion by now; nothing was written.
        ConfigError: the history is broken, or somebody else holds the lock.
    """
    with locked(store, name) as taken_from:
        now = _carried_out(store, name)
        fault = check(now if not repair else _as_decided(now))
        if fault:
            msg = f"nothing was changed, for the history of {name} is broken: {fault}"
            raise ConfigError(msg)
        if not repair and now.champion != compared_with:
            msg = f"version {now.champion or 'none'} became champion meanwhile; try again"
            raise ChangedError(msg)
        entry = _entry(now, name, resolve, taken_from)
        link = append(store, entry)
        _move(store, name, now.challenger, entry)
        finish(store, link)
    return link


def retry_on_conflict(attempt: Callable[[], Link], times: int = 3) -> Link:
    """Try again where another champion came in between.

    Raises:
        ChangedError: one came in between every time.
    """
    for _ in range(times - 1):
        try:
            return attempt()
        except ChangedError:
            continue
    return attempt()


def served_before(links: Sequence[Link]) -> str:
    """The version to roll back to: the champion before this one; empty where there was none.

    A version that was rolled back from is not one to return to.
    """
    served: list[str] = []
    for entry in (link.entry for link in links if link.entry):
        if entry.champion in served:
            served = served[: served.index(entry.champion) + 1]
        elif entry.champion:
            served.append(entry.champion)
    return served[-2] if len(served) > 1 else ""


def served(links: Sequence[Link]) -> tuple[str, ...]:
    """Every version that ever served, in the order of their first time."""
    return tuple(dict.fromkeys(e.champion for e in (k.entry for k in links) if e and e.champion))


def _entry(
    now: RegistryState, name: str, resolve: PromotionDecision, taken_from: str
) -> DecisionRecord:
    return DecisionRecord(
        number=len(now.links) + 1,
        previous=now.head,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=user(),
        host=socket.gethostname(),
        action=resolve.action,
        name=name,
        version=resolve.version,
        champion_before=now.champion,
        champion=resolve.champion,
        anchor=resolve.anchor,
        verdict=resolve.verdict,
        approved_by=resolve.approved_by,
        reason=resolve.reason,
        taken_from=taken_from,
        evidence=dict(resolve.evidence),
    )


def _carried_out(store: TrackingStore, name: str) -> RegistryState:
    """The standing, once the last decision's aliases are where it says."""
    now = registry_state(store, name)
    last = now.links[-1] if now.links else None
    if last is None or last.done or last.entry is None:
        return now
    _move(store, name, now.challenger, last.entry)
    finish(store, last)
    return registry_state(store, name)


def _as_decided(now: RegistryState) -> RegistryState:
    last = now.links[-1].entry if now.links else None
    return RegistryState(last.champion if last else "", now.challenger, now.anchor, now.links)


def _move(store: TrackingStore, name: str, challenger: str, entry: DecisionRecord) -> None:
    """Let the aliases say what a decision says; who serves no longer waits."""
    for alias, version in ((CHAMPION, entry.champion), (ANCHOR, entry.anchor)):
        if version:
            store.client.set_registered_model_alias(name, alias, version)
    if challenger and challenger == entry.champion:
        store.client.delete_registered_model_alias(name, CHALLENGER)
