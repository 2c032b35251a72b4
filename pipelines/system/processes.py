"""A child process that ends with its parent, even if the parent is killed.

`supervised` starts this file as a small process between the two. It reads a pipe from the parent
and runs the command in a separate process group; when the pipe closes (the block is left, or the
parent was killed) it ends the whole group: SIGTERM, then SIGKILL. On Linux it also ends processes
that left the group, and the command gets SIGTERM if the supervisor itself is killed.
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
"""Time between SIGTERM and SIGKILL."""


@contextmanager
def supervised(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: int | IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command; all its processes have ended when this block is left.

    `env`: its whole environment. `output`: for stdout and stderr, a file or `subprocess.PIPE`.

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
    """Run the command until it ends, stdin closes or a signal comes; return its exit status."""
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
    """Return a file descriptor that gets one byte per signal."""
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return heard


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    with suppress(ProcessLookupError):  # no process is left
        os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if child.poll() is not None:
                _reap(-child.pid)  # an unreaped dead process still counts as in the group
            os.killpg(child.pid, 0)
        os.killpg(child.pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    """Reap dead children of this process: all (-1), or those of a group."""
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG)[0]:
            pass


def _end_adopted(grace_s: float) -> None:
    """End processes that left the group; on Linux they become this process's children."""
    deadline = time.monotonic() + grace_s
    number, signalled = signal.SIGTERM, set[int]()
    while left := _children():
        if time.monotonic() > deadline:
            number, signalled = signal.SIGKILL, set()
        for pid in left:
            with suppress(ProcessLookupError):
                if pid not in signalled:
                    os.kill(pid, number)
        signalled |= set(left)
        _reap(-1)
        time.sleep(0.05)


def _children() -> list[int]:
    """Process ids of this process's children; empty without /proc."""
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    """Call prctl(2), on Linux only; elsewhere only the group is ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def alive(pid: int) -> bool:
    """Whether a process with this id runs, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
