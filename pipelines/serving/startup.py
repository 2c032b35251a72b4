"""What every server here begins with: a port, and the model that answers."""

import argparse
import socket
from dataclasses import dataclass
from pathlib import Path

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.registry.aliases import registry_state
from pipelines.registry.download import read_card
from pipelines.registry.tracking_store import TrackingStore, connect_with_retries
from pipelines.serving.model_card import FindCard, card_beside
from pipelines.serving.served_model import LoadedModel, ModelSlot, champion, load_folder, newer


@dataclass(frozen=True)
class Loaded:
    """Who answers, where its card is, and what to say of it before all else; often nothing."""

    holder: ModelSlot
    find_card: FindCard
    remark: str


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 is a free one.

    Raises:
        ConfigError: it is taken, or there is no such address here.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"{host}:{port}: {why}; take another: --port N") from None


def load(root: Path, args: argparse.Namespace, *, or_challenger: bool = False) -> Loaded:
    """Load the model that `--model FOLDER` or `--version N` names, else the champion.

    Args:
        root: of the repository.
        args: with `model`, `version`, and `poll_seconds` between two readings of the alias.
        or_challenger: where nobody is champion yet, take the challenger until somebody is.

    Raises:
        ConfigError: there is no such model.
    """
    if args.model is not None:
        return Loaded(ModelSlot(load_folder(args.model)), card_beside(args.model), "")
    params = load_params(root / "params.yaml")
    name, cache = params.registry.name, root / ".hgmnet" / "versions"
    store = connect_with_retries(root, params.data.name)
    number = args.version
    if number is None and or_challenger:
        number = _only_challenger(store, name)
    holder = ModelSlot(champion(store, name, cache, number))
    if args.version is None:
        holder.watch(lambda: newer(store, name, cache, holder), args.poll_seconds)
    waits = number is not None and args.version is None
    remark = f"{name} has no champion yet; its challenger answers" if waits else ""
    return Loaded(holder, _card_of(store, name), remark)


def _only_challenger(store: TrackingStore, name: str) -> str | None:
    """The challenger where there is no champion."""
    now = registry_state(store, name)
    return None if now.champion else now.challenger or None


def _card_of(store: TrackingStore, name: str) -> FindCard:
    def find(served: LoadedModel) -> str:
        return read_card(store, name, served.version)

    return find
