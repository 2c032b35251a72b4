"""A script: promote version 2, and stand still between the decision and the aliases.

`python -P pausing_promotion.py ROOT MODEL SECONDS`; prints its process id. A lock older than that
is taken over. It stops as a suspended machine does, until it is sent SIGCONT.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from pipelines.registry import lock
from pipelines.registry.aliases import PromotionDecision, decide
from pipelines.registry.tracking_store import open_tracking_store


class PausingClient(MlflowClient):
    """Stops once the decision is written, and not again."""

    stopped = False

    def create_run(self, *args: Any, **more: Any) -> Any:
        run = super().create_run(*args, **more)
        if not self.stopped:
            self.stopped = True
            print(os.getpid(), flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return run


if __name__ == "__main__":
    lock.STALE_S = float(sys.argv[3])
    found = open_tracking_store(Path(sys.argv[1]), "phantom", 60)
    store = replace(found, client=PausingClient(found.uri))
    decide(store, sys.argv[2], "1", PromotionDecision("promoted", "2", "2", "2", "signed"))
