"""Registry aliases of the serving versions, moved only together with a decision in the history."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError, redact_credentials
from pipelines.artifacts.test_evaluations import user
from pipelines.registry.history import (
    FIRST,
    Action,
    DecisionRecord,
    Link,
    append,
    chain_fault,
    finish,
    read_history,
)
from pipelines.registry.lock import HeldLock, locked
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import ANCHOR, CHALLENGER, CHAMPION, models_of


@dataclass(frozen=True)
class RegistryState:
    """What MLflow holds now: aliases, decisions, and the versions with their models.

    `aliases`: version by alias. `links`: every decision, oldest first. `models`: model hash by
    version number; empty for a version that `register` did not make.
    """

    aliases: Mapping[str, str]
    links: tuple[Link, ...]
    models: Mapping[str, str]

    @property
    def champion(self) -> str:
        """Version of the alias `champion`; empty for none."""
        return self.aliases.get(CHAMPION, "")

    @property
    def challenger(self) -> str:
        """Version of the alias `challenger`; empty for none."""
        return self.aliases.get(CHALLENGER, "")

    @property
    def anchor(self) -> str:
        """Version of the alias `anchor`; empty for none."""
        return self.aliases.get(ANCHOR, "")

    @property
    def head(self) -> str:
        """Hash of the last decision; empty where there is none."""
        return self.links[-1].hash if self.links else FIRST

    @property
    def decided(self) -> tuple[DecisionRecord | None, ...]:
        """Last decision (None: none yet); before it, if its aliases may not be moved, the former.

        Aliases agree with one of them, or were moved by hand.
        """
        entries = (None, *(link.entry for link in self.links))
        return entries[-1:] if not self.links or self.links[-1].done else entries[:-3:-1]

    def decided_model(self, version: str) -> str:
        """Model hash of a version by the last decision that names it; empty where none does."""
        for entry in (link.entry for link in reversed(self.links) if link.entry):
            named = {entry.champion: entry.champion_model, entry.anchor: entry.anchor_model}
            if named.get(version):
                return named[version]
        return ""

    def has(self, version: str) -> bool:
        """Whether the version exists and is the model that was decided on, if it was."""
        return version in self.models and self.decided_model(version) in {"", self.models[version]}


@dataclass(frozen=True)
class PromotionDecision:
    """A decision's action and reason; the record's other fields are filled in when it is written.

    `champion`, `anchor`: the versions after the decision. `signature`: of the approval, made when
    `signed_after` was the history's head.
    """

    action: Action
    version: str
    champion: str
    anchor: str
    reason: str
    verdict: str = ""
    approved_by: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    signature: str = ""
    signed_after: str = ""


class ChangedError(ConfigError):
    """The champion changed after the comparison."""


def registry_state(store: TrackingStore, name: str) -> RegistryState:
    """Read aliases and history; ConfigError if there is no such registered model."""
    try:
        aliases = store.client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ConfigError(
            f"{name} has no version at {redact_credentials(store.uri)}; "
            "`dvc repro` registers one that passes"
        ) from None
    return RegistryState(
        {alias: str(version) for alias, version in aliases.items()},
        read_history(store, name),
        models_of(store, name),
    )


def check(now: RegistryState, head: str | None = None) -> str | None:
    """Return the first fault in history, versions and aliases; None where there is none.

    `head`: a decision's hash noted outside MLflow, which the history must contain.
    """
    return chain_fault(now.links, head) or moved_by_hand(now) or deleted(now)


def moved_by_hand(now: RegistryState) -> str | None:
    """Describe the first alias or model that is not the last decision's; None: none."""
    for alias in (CHAMPION, ANCHOR):
        held = now.aliases.get(alias, "")
        numbers = [getattr(entry, alias) if entry else "" for entry in now.decided]
        if held not in numbers and (held or any(map(now.has, numbers))):
            return (
                f"{alias} is version {held or 'none'}, but by the last decision it is "
                f"{f'version {numbers[0]}' if numbers[0] else 'none'}"
            )
        if held and not now.has(held):
            return (
                f"version {held}, the {alias}, was decided on as model "
                f"{now.decided_model(held)[:12]}, but MLflow names "
                f"{f'model {now.models[held][:12]}' if now.models.get(held) else 'none'}"
            )
    return None


def deleted(now: RegistryState) -> str | None:
    """Describe a champion or anchor of the last decision that no longer exists; None: none."""
    for alias in (CHAMPION, ANCHOR):
        numbers = [getattr(entry, alias) if entry else "" for entry in now.decided]
        if numbers[0] and not any(map(now.has, numbers)):
            return f"version {numbers[0]}, the {alias} by the last decision, was deleted in MLflow"
    return None


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
    alias by hand; the chain itself must be intact. A champion that was deleted in MLflow counts as
    none.

    Raises:
        ChangedError: the champion has changed since; nothing was written.
        ConfigError: the history is broken, the version does not exist, or another process holds
            the lock or has taken it over.
    """
    with locked(store, name) as lock:
        now = _carried_out(store, name, lock)
        fault = chain_fault(now.links) or (None if repair else moved_by_hand(now))
        if fault:
            raise ConfigError(f"nothing was changed, for the history of {name} is broken: {fault}")
        if not repair and now.champion != compared_with:
            raise ChangedError(
                f"version {now.champion or 'none'} became champion meanwhile; try again"
            )
        if resolve.signature and now.head != resolve.signed_after:
            raise ChangedError("another decision was made after the signature; try again")
        for number in filter(None, (resolve.champion, resolve.anchor)):
            if not now.has(number):
                raise ConfigError(f"nothing was changed: {name} has no version {number} any more")
        entry = DecisionRecord(
            number=len(now.links) + 1,
            previous=now.head,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            who=user(),
            host=socket.gethostname(),
            name=name,
            champion_before=now.champion,
            taken_from=lock.taken_from,
            champion_model=now.models.get(resolve.champion, ""),
            anchor_model=now.models.get(resolve.anchor, ""),
            **{key: value for key, value in vars(resolve).items() if key != "signed_after"},
        )
        lock.confirm()
        link = append(store, entry)
        if chain_fault(read_history(store, name)):  # written by two: the lock was lost just now
            store.client.delete_run(link.run_id)
            raise ChangedError(f"another process decided on {name} meanwhile; try again")
        lock.confirm()
        _carried_out(store, name, lock)
    return link


def delete(store: TrackingStore, name: str, number: str) -> None:
    """Delete a version that nothing needs; MLflow itself would drop its aliases silently.

    Raises:
        ConfigError: there is no such version, it has an alias, or a rollback would return to it.
    """
    now = registry_state(store, name)
    if number not in now.models:
        known = ", ".join(sorted(now.models, key=int, reverse=True)) or "none"
        raise ConfigError(f"{name} has no version {number}; there are: {known}")
    if held := " and ".join(sorted(a for a, version in now.aliases.items() if version == number)):
        raise ConfigError(f"{name} version {number} is {held}; it can't be deleted")
    if number == served_before(now):
        raise ConfigError(
            f"{name} version {number} served before the champion, and a rollback would return to "
            "it; it can't be deleted"
        )
    store.client.delete_model_version(name, number)


def retry_on_conflict(attempt: Callable[[], Link], times: int = 3) -> Link:
    """Try up to `times` times while the champion changes meanwhile; then raise ChangedError."""
    for _ in range(times - 1):
        with suppress(ChangedError):
            return attempt()
    return attempt()


def served_before(now: RegistryState) -> str:
    """Return the version to roll back to: the previous champion; empty where there was none.

    A version that was itself rolled back, or deleted since, is skipped.
    """
    stack: list[str] = []
    for entry in (link.entry for link in now.links if link.entry):
        if entry.champion in stack:
            stack = stack[: stack.index(entry.champion) + 1]
        elif entry.champion:
            stack.append(entry.champion)
    return next((number for number in reversed(stack[:-1]) if now.has(number)), "")


def served(links: Sequence[Link]) -> tuple[str, ...]:
    """Every version that ever served, by first time."""
    return tuple(dict.fromkeys(e.champion for e in (k.entry for k in links) if e and e.champion))


def _carried_out(store: TrackingStore, name: str, lock: HeldLock) -> RegistryState:
    """Move the aliases where the last decision did not finish; return the resulting state.

    A process that lost the lock while it stood still can move an alias late. So the last decision
    is read again after each move, until no later one has appeared.
    """
    now = registry_state(store, name)
    while now.links and not now.links[-1].done and not chain_fault(now.links):
        last = now.links[-1]
        lock.confirm()
        _move(store, now, name, last.entry)
        finish(store, last)
        now = registry_state(store, name)
        if now.links[-1].run_id != last.run_id:  # decided while this process stood still
            _move(store, now, name, now.links[-1].entry)
    return now


def _move(
    store: TrackingStore, now: RegistryState, name: str, entry: DecisionRecord | None
) -> None:
    """Set a decision's aliases, but not on versions deleted since; end its challenger."""
    if entry is None:
        return
    for alias, version in ((CHAMPION, entry.champion), (ANCHOR, entry.anchor)):
        if now.has(version):
            store.client.set_registered_model_alias(name, alias, version)
    if now.challenger and now.challenger == entry.champion:
        store.client.delete_registered_model_alias(name, CHALLENGER)
