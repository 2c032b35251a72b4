"""The served model, and a thread that replaces it with a newer one."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hgmnet.errors import redact_credentials
from hgmnet.evaluation.drift import Profile
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.response import Value
from hgmnet.models.spec import PROFILE, read_part

_LOG = logging.getLogger("hgmnet.serving")


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model; `described`: its columns in every answer, by name.

    `code`: how the installed code relates to the code the model was registered with; empty for a
    folder. `remark`: what is wrong in the registry, though this model may serve; empty for nothing.
    `profile`: of its training images, None if unknown.
    """

    predictor: TorchPredictor
    described: dict[str, Value]
    code: str = ""
    remark: str = ""
    profile: Profile | None = None

    @property
    def version(self) -> str:
        """The model's version in the registry; empty for a folder."""
        return str(self.described["version"])


def load_folder(
    folder: Path, name: str = "", version: str = "", code: str = "", remark: str = ""
) -> LoadedModel:
    """Load a model folder onto the GPU, or the CPU if there is none.

    `name`: the model's name in answers; empty: the folder's path. `version`: in the registry.
    `code`, `remark`: as in `LoadedModel`.

    Raises:
        ConfigError: a file is missing, damaged, or of another version.
    """
    predictor = TorchPredictor.load(folder, "auto")
    known = {"model": name or str(folder), "version": version, "model_sha256": predictor.identity}
    return LoadedModel(predictor, dict(known), code, remark, read_part(folder / PROFILE, Profile))


class ModelSlot:
    """The served model; a request takes it once and uses it to its end."""

    def __init__(self, served: LoadedModel) -> None:
        self.served = served
        self.fault = served.remark
        self._stop = threading.Event()

    def watch(self, find: Callable[[], LoadedModel | None], seconds: float) -> threading.Thread:
        """Call `find` every `seconds` seconds; a model that it returns replaces the present one.

        An exception is stored in `fault`; the present model stays, and `find` is called again.
        """

        def work() -> None:
            while not self._stop.wait(seconds):
                before = self.served, self.fault
                try:
                    found = find()
                    self.served = found or self.served
                    self.fault = found.remark if found else ""
                except Exception as error:  # a store that is down raises various errors
                    self.fault = redact_credentials(str(error).strip().split("\n")[0])
                if before != (self.served, self.fault):
                    described = self.served.described
                    _LOG.info("serving", extra={"facts": {**described, "fault": self.fault}})

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the watch thread."""
        self._stop.set()
