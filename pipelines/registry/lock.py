"""Lock of a registered model: one decision at a time among all users of the store.

MLflow has no compare-and-set. But of several processes that create a registered model of one name,
one succeeds: the empty model `<name>.lock` is the lock, and its tags name the holder.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError
from pipelines.registry.tracking_store import TrackingStore
from pipelines.system.processes import alive

STALE_S = 300.0
"""Age at which a lock counts as abandoned; a decision takes seconds."""
_POLL_S = 0.3
_TOKEN, _HOST, _PID, _SINCE = (f"hgmnet.lock.{part}" for part in ("token", "host", "pid", "since"))


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process holds; `taken_from`: its abandoned holder, empty for none."""

    store: TrackingStore
    name: str
    token: str
    taken_from: str

    def confirm(self) -> None:
        """Raise ConfigError if another process has taken the lock over."""
        if (holder := _tags(self.store, self.name)).get(_TOKEN) != self.token:
            raise ConfigError(
                f"{self.name} was taken over by {_holder(holder)} while this process stood still; "
                "see `hgmnet history`, then try again"
            )


@contextmanager
def locked(store: TrackingStore, name: str, wait_s: float = 120.0) -> Iterator[HeldLock]:
    """Hold the lock of a registered model.

    A lock whose holder is gone (its process has ended on this host, or it is older than
    `STALE_S`) is taken over.

    Yields:
        The lock. A holder that stood still for long may have lost it: ask `confirm` before writing.

    Raises:
        ConfigError: another process holds it for longer than `wait_s`.
    """
    lock, token = f"{name}.lock", secrets.token_hex(8)
    taken_from = _acquire(store, lock, token, wait_s)
    try:
        yield HeldLock(store, lock, token, taken_from)
    finally:
        _remove(store, lock, token)


def _acquire(store: TrackingStore, lock: str, token: str, wait_s: float) -> str:
    until = time.monotonic() + wait_s
    taken_from = ""
    while not _create(store, lock, token):
        holder = _tags(store, lock)
        if holder and _gone(holder):
            taken_from = _holder(holder)
            _remove(store, lock, holder[_TOKEN])
        elif time.monotonic() > until:
            msg = (
                f"{lock} is held by {_holder(holder)}; wait for it, or if it is gone for good "
                f"delete the registered model {lock} in MLflow"
            )
            raise ConfigError(msg)
        else:
            time.sleep(_POLL_S)
    return taken_from


def _create(store: TrackingStore, lock: str, token: str) -> bool:
    tags = {
        _TOKEN: token,
        _HOST: socket.gethostname(),
        _PID: str(os.getpid()),
        _SINCE: datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        store.client.create_registered_model(lock, tags=tags)
    except MlflowException as error:  # MLflow reads an existing one, which may be deleted by then
        if error.error_code not in {"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}:
            raise
        return False
    return _tags(store, lock).get(_TOKEN) == token


def _remove(store: TrackingStore, lock: str, token: str) -> None:
    """Delete the lock if it still has this token."""
    if _tags(store, lock).get(_TOKEN) != token:
        return
    try:
        store.client.delete_registered_model(lock)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _tags(store: TrackingStore, lock: str) -> dict[str, str]:
    """Tags of the lock; empty where there is no lock."""
    try:
        return dict(store.client.get_registered_model(lock).tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def _gone(holder: dict[str, str]) -> bool:
    since = datetime.fromisoformat(holder[_SINCE])
    if (datetime.now(UTC) - since).total_seconds() > STALE_S:
        return True
    return holder[_HOST] == socket.gethostname() and not alive(int(holder[_PID]))


def _holder(tags: dict[str, str]) -> str:
    if not tags:
        return "nobody any more"
    return f"process {tags[_PID]} on {tags[_HOST]} since {tags[_SINCE]}"
