"""Code shared by several commands: opening the registry, and the choice of a model."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hgmnet.config.params import Params
    from pipelines.registry.tracking_store import TrackingStore


@dataclass(frozen=True)
class OpenRegistry:
    """This checkout's tracking store and settings."""

    store: "TrackingStore"
    params: "Params"

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return self.params.registry.name


@contextmanager
def open_registry(root: Path, *, timeout_s: int = 60, retries: int = 2) -> Iterator[OpenRegistry]:
    """Open the tracking store; limit the block's MLflow requests, `timeout_s` in seconds.

    Raises:
        ConfigError: params.yaml is wrong, or MLflow can't be reached, also later in the block.
    """
    from hgmnet.config.params import load_params
    from pipelines.registry.tracking_store import (
        connect_with_retries,
        http_limits,
        store_errors_as_messages,
    )

    params = load_params(root / "params.yaml")
    with http_limits(timeout_s=timeout_s, retries=retries), store_errors_as_messages(root):
        yield OpenRegistry(connect_with_retries(root, params.data.name), params)


def add_model_options(parser: argparse.ArgumentParser, folder: str = "a model folder") -> None:
    """Add `--model FOLDER` and `--version N`; without either: the champion."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help=folder)
    which.add_argument("--version", metavar="N", help="a version or alias (default: champion)")


def resolve_model(root: Path, model: Path | None, version: str | None) -> tuple[Path, str]:
    """Return the model's folder on this machine, and its name for messages.

    `model`: a folder or exported file; None: the registered `version`, or the champion.

    Raises:
        ConfigError: there is no such version, or no champion.
        InvalidDataError: the version is not the model that was registered.
    """
    if model is not None:
        return model, str(model)
    from pipelines.artifacts.paths import Workspace
    from pipelines.registry.loading import load_version

    with open_registry(root) as registry:
        cache = Workspace(root, registry.params.data.name).versions
        found = load_version(registry.store, registry.name, version, cache)
    if found.remark:
        print(f"hgmnet: {found.remark}", file=sys.stderr)
    return found.folder, f"{found.name} version {found.number}"


def positive(text: str) -> float:
    """Parse a number above 0 and below a million; neither infinity nor NaN."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0, below a million")
    return value


def class_map(text: str) -> dict[str, str]:
    """Parse `theirs=ours,...` into our class by theirs, in lower case."""
    pairs = [[part.strip().lower() for part in pair.split("=")] for pair in text.split(",")]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        msg = f"{text!r}: expected <class of the set>=<our class>, as in idc=malignant,cyst=benign"
        raise argparse.ArgumentTypeError(msg)
    return {pair[0]: pair[1] for pair in pairs}


def reason(words: str, wanted: str) -> str:
    """Return a reason as one line; ConfigError if it is empty."""
    from hgmnet.errors import ConfigError

    line = " ".join(words.split())
    if not line:
        raise ConfigError(f'expected {wanted}: --reason "..."')
    return line
