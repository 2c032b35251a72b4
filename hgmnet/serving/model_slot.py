"""The model that answers, and a thread that looks whether another one should."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import Value


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model; `described`: the columns about it in every answer, by name."""

    predictor: TorchPredictor
    described: dict[str, Value]

    @property
    def version(self) -> str:
        """Its number in the registry; empty for a folder."""
        return str(self.described["version"])


def load_folder(folder: Path, name: str = "", version: str = "") -> LoadedModel:
    """Load a model folder onto the GPU, or the CPU where there is none.

    `name`: what answers call it; empty: the folder's path. `version`: its number in the registry.

    Raises:
        ConfigError: a file of it is absent, damaged, or of another version.
    """
    predictor = TorchPredictor.load(folder, "auto")
    known = {"model": name or str(folder), "version": version, "model_sha256": predictor.identity}
    return LoadedModel(predictor, dict(known))


class ModelSlot:
    """Holds the model that answers; a request takes it once, and keeps it to its end."""

    def __init__(self, served: LoadedModel) -> None:
        self.served = served
        self.fault = ""
        self._stop = threading.Event()

    def watch(self, find: Callable[[], LoadedModel | None], seconds: float) -> threading.Thread:
        """Call `find` every so many seconds; a model that it returns takes over.

        Whatever goes wrong is kept in `fault`; the present model goes on, and `find` is called
        again.
        """

        def work() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.served = find() or self.served
                    self.fault = ""
                except Exception as error:  # a store that is down raises whatever comes
                    self.fault = str(error).strip().split("\n")[0]

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
