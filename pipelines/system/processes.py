"""A child that ends when its parent does, however the parent dies.

`supervised` starts this file as a small process between the two. It holds a pipe from the parent
and has put the command into a process group of its own; when the pipe closes (the block is left,
or the parent was killed) it ends that whole group: SIGTERM, then SIGKILL. On Linux it ends
what has left the group too, and the command hears of it if the supervisor itself is killed.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL."""


@contextmanager
def supervised(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command whose processes are all gone when this block has been left.

    `env`: its whole environment. `output`: of stdout and stderr: a file, or `subprocess.PIPE`.

    Yields:
        The supervisor; its exit status is the command's.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", __file__, str(GRACE_SECONDS), *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C at the terminal is for the parent alone
    )
    try:
        yield process
    finally:
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()
        process.wait()


def main(grace_s: float, command: Sequence[str]) -> int:
    """Run the command until it ends, stdin closes or a signal comes; leave none of its group."""
    heard = _listen()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: _prctl(_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - one thread
    )
    while child.poll() is None:
        ready, _, _ = select.select([sys.stdin, heard], [], [])
        if sys.stdin in ready or set(os.read(heard, 64)) != {signal.SIGCHLD}:
            break
    _end(child, grace_s)
    status = child.wait()
    _end_adopted(grace_s)
    return status if status >= 0 else 128 - status


def _listen() -> int:
    """Have signals written, as a byte each, to the descriptor returned."""
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return heard


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if child.poll() is not None:
                _reap(-child.pid)  # a dead one that nobody has waited for counts as in the group
            os.killpg(child.pid, 0)
        os.killpg(child.pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    """Wait for those of this process's children that have died: all (-1), or of a group."""
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0]:
            pass


def _end_adopted(grace_s: float) -> None:
    """End what has left the group; Linux hands it to this process as its parents die."""
    deadline = time.monotonic() + grace_s
    number, told = signal.SIGTERM, set[int]()
    while left := _children():
        if time.monotonic() > deadline:
            number, told = signal.SIGKILL, set()
        for pid in left:
            with suppress(ProcessLookupError):
                if pid not in told:
                    os.kill(pid, number)
        told |= set(left)
        _reap(-1)
        time.sleep(0.05)


def _children() -> list[int]:
    """Of this process; none where /proc does not tell."""
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    """Linux's alone; elsewhere the group is all that is ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def alive(pid: int) -> bool:
    """Whether a process of this number runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
