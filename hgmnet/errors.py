"""Errors that are not bugs: one line for the user, one exit status per kind."""


class HgmnetError(Exception):
    """A failure that the user can fix; its message states what came, what was expected, what to do.

    The command prints it as one line on stderr and exits with `exit_status`. Any other exception is
    a bug: it keeps its traceback and exits with 1.
    """

    exit_status = 1


class ConfigError(HgmnetError):
    """params.yaml, the environment or the installation is not as required."""

    exit_status = 2


class RejectedError(HgmnetError):
    """The model did not pass the gate: a recorded result, not a fault."""

    exit_status = 3


class InvalidDataError(HgmnetError):
    """The images, masks or labels do not meet the requirements of a data set."""

    exit_status = 4


class CheckpointError(HgmnetError):
    """A checkpoint could not be written, usually for lack of space. The previous one is intact."""
