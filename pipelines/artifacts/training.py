"""Types of the files that `train` writes."""

from hgmnet.config.base import Frozen


class TrainRun(Frozen):
    """How the weights were trained; kept with a cached model.

    `seconds`: run time of the last process, without killed ones before. `params`: the stage's
    settings with dotted keys. `packages`: installed versions by name.
    """

    git_commit: str
    git_dirty: bool
    device: str
    processes: int
    threads: int
    seconds: float
    python: str
    packages: dict[str, str]
    params: dict[str, str]
