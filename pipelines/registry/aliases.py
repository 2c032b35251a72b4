"""Registry aliases of the serving versions, moved only together with a decision in the history."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError, redact_credentials
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


@dataclass(frozen=True)
class RegistryState:
    """The version of each alias, empty for none, and every decision so far."""

    champion: str
    challenger: str
    anchor: str
    links: tuple[Link, ...]

    @property
    def head(self) -> str:
        """Hash of the last decision; empty where there is none."""
        return self.links[-1].hash if self.links else FIRST


@dataclass(frozen=True)
class PromotionDecision:
    """A decision's action and reason; the record's other fields are filled in when it is written.

    `champion`, `anchor`: the versions after the decision.
    """

    action: Literal["promoted", "kept", "rolled back"]
    version: str
    champion: str
    anchor: str
    reason: str
    verdict: str = ""
    approved_by: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


class ChangedError(ConfigError):
    """The champion changed after the comparison."""


def registry_state(store: TrackingStore, name: str) -> RegistryState:
    """Read the current aliases and history.

    Raises:
        ConfigError: there is no such registered model.
    """
    try:
        aliases = store.client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ConfigError(
            f"{name} has no version at {redact_credentials(store.uri)}; "
            "`dvc repro` registers one that passes"
        ) from None
    held = {alias: str(version) for alias, version in aliases.items()}
    champion, challenger, anchor = (held.get(a, "") for a in (CHAMPION, CHALLENGER, ANCHOR))
    return RegistryState(champion, challenger, anchor, read_history(store, name))


def check(now: RegistryState, head: str | None = None) -> str | None:
    """Return the first fault in history and aliases; None where there is none."""
    return first_fault(now.links, now.champion, head)


def decide(
    store: TrackingStore,
    name: str,
    compared_with: str,
    resolve: PromotionDecision,
    *,
    repair: bool = False,
) -> Link:
    """Record a decision and move the aliases, under the lock.

    A decision whose process died before the aliases moved is completed first. `compared_with`:
    the champion when the decision was made. `repair`: continue where a person moved the
    alias by hand; the chain itself must be intact.

    Raises:
        ChangedError: the champion has changed since; nothing was written.
        ConfigError: the history is broken, or another process holds the lock.
    """
    with locked(store, name) as taken_from:
        now = _carried_out(store, name)
        last = now.links[-1].entry if now.links else None
        champion = (last.champion if last else "") if repair else now.champion
        if fault := first_fault(now.links, champion):
            raise ConfigError(f"nothing was changed, for the history of {name} is broken: {fault}")
        if not repair and now.champion != compared_with:
            raise ChangedError(
                f"version {now.champion or 'none'} became champion meanwhile; try again"
            )
        entry = DecisionRecord(
            number=len(now.links) + 1,
            previous=now.head,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            who=user(),
            host=socket.gethostname(),
            name=name,
            champion_before=now.champion,
            taken_from=taken_from,
            **vars(resolve),
        )
        link = append(store, entry)
        _move(store, name, now.challenger, entry)
        finish(store, link)
    return link


def retry_on_conflict(attempt: Callable[[], Link], times: int = 3) -> Link:
    """Retry, `times` attempts in all, where the champion changed in the meantime.

    Raises:
        ChangedError: it changed during every attempt.
    """
    for _ in range(times - 1):
        with suppress(ChangedError):
            return attempt()
    return attempt()


def served_before(links: Sequence[Link]) -> str:
    """Return the version to roll back to: the previous champion; empty where there was none.

    A version that was itself rolled back is skipped.
    """
    served: list[str] = []
    for entry in (link.entry for link in links if link.entry):
        if entry.champion in served:
            served = served[: served.index(entry.champion) + 1]
        elif entry.champion:
            served.append(entry.champion)
    return served[-2] if len(served) > 1 else ""


def served(links: Sequence[Link]) -> tuple[str, ...]:
    """Every version that ever served, by first time."""
    return tuple(dict.fromkeys(e.champion for e in (k.entry for k in links) if e and e.champion))


def _carried_out(store: TrackingStore, name: str) -> RegistryState:
    """Move the aliases where the last decision did not finish; return the resulting state."""
    now = registry_state(store, name)
    last = now.links[-1] if now.links else None
    if last is None or last.done or last.entry is None:
        return now
    _move(store, name, now.challenger, last.entry)
    finish(store, last)
    return registry_state(store, name)


def _move(store: TrackingStore, name: str, challenger: str, entry: DecisionRecord) -> None:
    """Set a decision's aliases; the new champion is no longer challenger."""
    for alias, version in ((CHAMPION, entry.champion), (ANCHOR, entry.anchor)):
        if version:
            store.client.set_registered_model_alias(name, alias, version)
    if challenger and challenger == entry.champion:
        store.client.delete_registered_model_alias(name, CHALLENGER)
