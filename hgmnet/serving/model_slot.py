"""The model in use, and a thread that checks for another one."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import Value


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model; `described`: the columns about it in every row of output, by name."""

    predictor: TorchPredictor
    described: dict[str, Value]

    @property
    def version(self) -> str:
        """Version number in the registry; empty for a folder."""
        return str(self.described["version"])


def load_folder(folder: Path, name: str = "", version: str = "") -> LoadedModel:
    """Load a model folder onto the GPU, or the CPU if there is none.

    Args:
        folder: the model folder.
        name: name of the model in the output; empty: the folder's path.
        version: version number in the registry; empty if it is in none.

    Raises:
        ConfigError: a file is absent, damaged, or has another format version.
    """
    predictor = TorchPredictor.load(folder, "auto")
    known = {"model": name or str(folder), "version": version, "model_sha256": predictor.identity}
    return LoadedModel(predictor, dict(known))


class ModelSlot:
    """Slot of the model in use; a request reads it once and uses that model to its end."""

    def __init__(self, served: LoadedModel) -> None:
        """Start with a model."""
        self.served = served
        self.fault = ""
        self._stop = threading.Event()

    def watch(self, find: Callable[[], LoadedModel | None], seconds: float) -> threading.Thread:
        """Call `find` every `seconds`; a model that it returns replaces the present one.

        An error is stored in `fault`; the present model stays in use, and `find` is called again.
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
        """Stop the thread."""
        self._stop.set()
