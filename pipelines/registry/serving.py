"""Load the model that a server uses from the registry: the champion, or a version."""

from dataclasses import dataclass
from pathlib import Path

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from hgmnet.serving.model_card import FindCard
from hgmnet.serving.model_slot import LoadedModel, ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from pipelines.registry.aliases import registry_state
from pipelines.registry.download import read_card
from pipelines.registry.loading import champion_of, load_version
from pipelines.registry.tracking_store import TrackingStore, connect_with_retries, http_limits
from pipelines.registry.versions import CHALLENGER


@dataclass(frozen=True)
class ServedVersion:
    """A served version, the function that finds its card, and a remark to print (may be empty)."""

    slot: ModelSlot
    find_card: FindCard
    remark: str


def serve_version(
    root: Path, version: str | None, poll_seconds: float, *, or_challenger: bool = False
) -> ServedVersion:
    """Load a version, or (None) the champion, replaced after each decision for another one.

    The registry is read every `poll_seconds`. `or_challenger`: use the challenger until there is a
    champion.

    Raises:
        ConfigError, InvalidDataError: as `load_version`.
    """
    params = load_params(root / "params.yaml")
    name, cache = params.registry.name, Workspace(root, params.data.name).versions
    store = connect_with_retries(root, params.data.name)
    now = registry_state(store, name)
    waits = version is None and or_challenger and not now.champion and bool(now.challenger)
    slot = ModelSlot(load_served(store, name, CHALLENGER if waits else version, cache))
    if version is None:
        slot.watch(lambda: newer(store, name, cache, slot), poll_seconds)
    remark = f"{name} has no champion yet; its challenger answers" if waits else slot.fault
    return ServedVersion(slot, lambda served: read_card(store, name, served.version), remark)


def load_served(store: TrackingStore, name: str, version: str | None, cache: Path) -> LoadedModel:
    """Load a version, or (None) the champion, as a server's model; raises as `load_version`."""
    found = load_version(store, name, version, cache)
    return load_folder(found.folder, name, found.number, found.code, found.remark)


def newer(store: TrackingStore, name: str, cache: Path, slot: ModelSlot) -> LoadedModel | None:
    """Load the champion if it is not the served version; else None.

    A server that does not answer is an error after seconds, so that /health reports it soon;
    MLflow's own limits block for minutes.

    Raises:
        ConfigError: the alias was moved by hand; the served version is the last decision's.
        InvalidDataError: the history is broken.
    """
    with http_limits(timeout_s=3, retries=0):
        number, remark = champion_of(registry_state(store, name), name)
    if number not in {"", slot.served.version}:
        return load_served(store, name, None, cache)
    if remark:
        raise ConfigError(remark)
    return None
