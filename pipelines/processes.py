"""What is known of other processes of this machine."""

import os


def alive(pid: int) -> bool:
    """Whether a process of this number runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
