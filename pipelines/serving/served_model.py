"""The model that answers, and a thread that looks whether another one should."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hgmnet.errors import HgmnetError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import Value
from hgmnet.models.device import best_device
from pipelines.registry.aliases import registry_state
from pipelines.registry.download import fetch_model
from pipelines.registry.tracking_store import STORE_ERRORS, TrackingStore


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model, and what every answer says of it."""

    predictor: TorchPredictor
    said: dict[str, Value]

    @property
    def version(self) -> str:
        """Its number in the registry; empty for a folder."""
        return str(self.said["version"])


def load_folder(folder: Path) -> LoadedModel:
    """A model folder that is in no registry.

    Raises:
        ConfigError: a file of it is absent, damaged, or of another version.
    """
    return _load(folder, str(folder), "")


class ModelSlot:
    """Holds the model that answers; a request takes it once, and keeps it to its end."""

    def __init__(self, served: LoadedModel) -> None:
        """Begin with this one."""
        self.served = served
        self.fault = ""
        self._stop = threading.Event()

    def watch(self, look: Callable[[], LoadedModel | None], seconds: float) -> threading.Thread:
        """Ask every so many seconds whether another model serves now (None: the same one).

        What goes wrong is kept in `fault` and asked again; the model that is there goes on.
        """

        def work() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.served = look() or self.served
                    self.fault = ""
                except (HgmnetError, *STORE_ERRORS) as error:
                    self.fault = str(error).strip().split("\n")[0]

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()


def champion(
    store: TrackingStore, name: str, cache: Path, number: str | None = None
) -> LoadedModel:
    """The champion, or a version by its number.

    Raises:
        ConfigError: there is none.
    """
    folder, version = fetch_model(store, name, number, cache)
    return _load(folder, name, version)


def newer(store: TrackingStore, name: str, cache: Path, holder: ModelSlot) -> LoadedModel | None:
    """The champion, if it is another one than the one that answers."""
    now = registry_state(store, name).champion
    return champion(store, name, cache, now) if now not in {"", holder.served.version} else None


def _load(folder: Path, name: str, version: str) -> LoadedModel:
    device = best_device()
    predictor = TorchPredictor.load(folder, device)
    return LoadedModel(
        predictor, {"model": name, "version": version, "model_sha256": predictor.identity}
    )
