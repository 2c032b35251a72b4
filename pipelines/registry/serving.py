"""Load the model that a server uses from the registry: the champion, or a version."""

from dataclasses import dataclass
from pathlib import Path

from hgmnet.config.params import load_params
from hgmnet.serving.model_card import FindCard
from hgmnet.serving.model_slot import LoadedModel, ModelSlot, load_folder
from pipelines.artifacts.paths import Workspace
from pipelines.registry.aliases import registry_state
from pipelines.registry.download import fetch_model, read_card
from pipelines.registry.tracking_store import TrackingStore, connect_with_retries, http_limits


@dataclass(frozen=True)
class ServedVersion:
    """A served version, the function that finds its card, and a remark to print (may be empty)."""

    slot: ModelSlot
    find_card: FindCard
    remark: str


def load_version(
    root: Path, version: str | None, poll_seconds: float, *, or_challenger: bool = False
) -> ServedVersion:
    """Load a version, or (None) the champion, reloaded when the alias moves.

    The alias is read every `poll_seconds`. `or_challenger`: use the challenger until there is a
    champion.

    Raises:
        ConfigError: there is no such version.
    """
    params = load_params(root / "params.yaml")
    name, cache = params.registry.name, Workspace(root, params.data.name).versions
    store = connect_with_retries(root, params.data.name)
    number = version
    if number is None and or_challenger and not (now := registry_state(store, name)).champion:
        number = now.challenger or None
    slot = ModelSlot(champion(store, name, cache, number))
    if version is None:
        slot.watch(lambda: newer(store, name, cache, slot), poll_seconds)
    waits = number is not None and version is None
    remark = f"{name} has no champion yet; its challenger answers" if waits else ""
    return ServedVersion(slot, lambda served: read_card(store, name, served.version), remark)


def champion(
    store: TrackingStore, name: str, cache: Path, number: str | None = None
) -> LoadedModel:
    """Load the champion, or a version by its number.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    folder, version = fetch_model(store, name, number, cache)
    return load_folder(folder, name, version)


def newer(store: TrackingStore, name: str, cache: Path, slot: ModelSlot) -> LoadedModel | None:
    """Load the champion if it is not the served version; else None.

    A server that does not answer is an error after seconds, so that /health reports it soon;
    MLflow's own limits block for minutes.
    """
    with http_limits(timeout_s=3, retries=0):
        now = registry_state(store, name).champion
        return champion(store, name, cache, now) if now not in {"", slot.served.version} else None
