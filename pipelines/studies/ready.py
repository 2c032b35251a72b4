"""What every study needs before it begins: prepared images of today's settings."""

from hgmnet.config import Params
from hgmnet.data.store import Store, open_store
from hgmnet.errors import ConfigError
from pipelines.stages.train import refuse_own
from pipelines.workspace import Workspace


def prepared(workspace: Workspace, params: Params) -> Store:
    """Open the prepared images.

    Raises:
        ConfigError: they are of other settings, or training would start from what it overwrites.
        InvalidDataError: there are none.
    """
    refuse_own(workspace, params.train)
    store = open_store(workspace.prepared)
    side = store.images.shape[1]
    if side != params.prepare.side:
        raise ConfigError(
            f"{workspace.prepared} holds images of {side} px, params.yaml says "
            f"prepare.side: {params.prepare.side}; run `dvc repro prepare`"
        )
    return store
