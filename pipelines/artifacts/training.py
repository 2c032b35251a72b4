"""Types of what `train` writes."""

from hgmnet.config.base import Frozen


class TrainRun(Frozen):
    """How the weights were made; a fact of that training, which a cached model keeps.

    `seconds`: of the process that ended it; what a killed one did before is not in it. `params`:
    train's sections, with dotted keys. `packages`: installed versions by name.
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
