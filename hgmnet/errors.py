"""What can go wrong through no fault of the code: one line for the user, one exit status a kind."""


class HgmnetError(Exception):
    """A failure that the user can mend; its message says what came, what was expected, what to do.

    The command prints it as one line on stderr and exits with `exit_status`. Anything else that is
    raised is a bug: it keeps its traceback and exits with 1.
    """

    exit_status = 1


class ConfigError(HgmnetError):
    """params.yaml, the environment or the installation is not what is needed."""

    exit_status = 2


class RejectedError(HgmnetError):
    """The gate judged the model and it did not pass: a result, recorded, not a fault."""

    exit_status = 3


class InvalidDataError(HgmnetError):
    """The images, masks or labels are not what a data set must be."""

    exit_status = 4


class CheckpointError(HgmnetError):
    """A checkpoint could not be written: a full disk, most often. The one before it is intact."""
