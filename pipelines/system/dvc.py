"""Run DVC in a separate process group, with its output line by line."""

import configparser
import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from hgmnet.errors import (
    ConfigError,
    HgmnetError,
    InvalidDataError,
    RejectedError,
    redact_credentials,
)
from pipelines.system.processes import alive, supervised

_LOCK_S = 10.0
_HINT = re.compile(
    r"\s*(To track the changes|git add |To enable auto staging|dvc config core|Use `dvc push)"
)
"""What DVC prints at the end of each stage; a flow prints it once."""
_KINDS = {kind.exit_status: kind for kind in (ConfigError, RejectedError, InvalidDataError)}


def run(
    root: Path,
    target: str,
    on_line: Callable[[str], None],
    *,
    force: bool = False,
    limit_s: float | None = None,
) -> None:
    """Run `dvc repro --single-item <target>`; DVC decides whether anything must run.

    `target`: a stage of dvc.yaml, a dvc.yaml or a .dvc file. DVC's hints are left out. Raises as
    `call`.
    """
    forced = ["--force"] if force else []

    def without_hints(line: str) -> None:
        if not _HINT.match(line):
            on_line(line)

    call(root, ["repro", "--single-item", *forced, target], without_hints, limit_s)


def fill_copy(root: Path, copy: Path, target: str) -> None:
    """Let a copy use DVC's cache, and check out a stage's cached files in it. Raises as `call`."""
    lines: list[str] = []
    call(root, ["cache", "dir"], lines.append)
    call(copy, ["cache", "dir", "--local", lines[-1]], lines.append)
    found = ["--quiet", "--with-deps", "--allow-missing", "--force"]
    call(copy, ["checkout", *found, target], lines.append)


def has_remote(root: Path) -> bool:
    """Whether DVC has a default remote."""
    return setting(root, "core", "remote") is not None


def setting(root: Path, section: str, name: str) -> str | None:
    """Return one of this repository's DVC settings; None where it is not set."""
    settings = configparser.RawConfigParser()
    settings.read([root / ".dvc" / name for name in ("config", "config.local")], encoding="utf-8")
    return settings.get(section, name, fallback=None)


def call(
    root: Path, words: Sequence[str], on_line: Callable[[str], None], limit_s: float | None = None
) -> None:
    """Run `dvc <words>`; `on_line` gets each line that DVC and a stage print at once.

    All its processes end when this returns, raises, is interrupted, or is killed.

    Raises:
        ConfigError: a stage ended with status 2.
        RejectedError: a stage ended with status 3.
        InvalidDataError: a stage ended with status 4.
        HgmnetError: any other failure, with the last lines; or it was ended after `limit_s` s.
    """
    _mend_lock(root, on_line)
    command = [sys.executable, "-m", "dvc", *words]
    last: deque[str] = deque(maxlen=40)
    with (
        supervised(command, cwd=root, env=_environment(), output=subprocess.PIPE) as process,
        _ended_after(limit_s, process) as late,
    ):
        for line in _lines(cast("IO[bytes]", process.stdout)):
            last.append(line)
            on_line(line)
        status = process.wait()
    if late.is_set():
        raise HgmnetError(
            f"`dvc {' '.join(words)}` was ended after {(limit_s or 0) / 60:g} minutes "
            "(params.yaml: flow.timeout_minutes); finished work is kept, and a training continues "
            "from its last epoch in the next run"
        )
    if status:
        raise _failure(words, list(last))


@contextmanager
def unused(root: Path, folder: Path) -> Iterator[None]:
    """Hold DVC's lock for this block, in which no dvc command reads or writes a folder.

    Other dvc commands wait, for 3 s, so the block must be short. A repository in which dvc never
    ran has no lock.

    Raises:
        ConfigError: a dvc command uses the folder, or holds the lock for more than 10 s.
    """
    temporary, folder = root / ".dvc" / "tmp", folder.resolve()
    if not temporary.is_dir() or setting(root, "core", "hardlink_lock"):
        _refuse_used(temporary, folder)
        yield
        return
    with (temporary / "lock").open("a") as lock:
        end = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise ConfigError(f"a dvc command runs in {root}; wait for its end") from None
                time.sleep(0.05)
        _refuse_used(temporary, folder)
        yield


def _refuse_used(temporary: Path, folder: Path) -> None:
    """Look for the folder among the paths that DVC notes while it runs a stage."""
    try:
        noted = json.loads((temporary / "rwlock").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    for path, users in ((p, u) for mode in noted.values() for p, u in mode.items()):
        near = Path(path).is_relative_to(folder) or folder.is_relative_to(path)
        for user in users if isinstance(users, list) else [users]:
            if near and user and alive(user["pid"]):
                raise ConfigError(
                    f"{path} is in use by `{user['cmd']}` (process {user['pid']}); wait for its "
                    "end, then run the same command again"
                )


def _mend_lock(root: Path, on_line: Callable[[str], None]) -> None:
    """Remove DVC's lock file where a full disk has truncated it, which blocks every dvc."""
    lock = root / ".dvc" / "tmp" / "rwlock"
    for _ in range(2):  # a file being written is complete a moment later
        try:
            json.loads(lock.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(0.5)
        else:
            return
    on_line(f"{lock} was cut short, probably by a full disk; removed")
    lock.unlink(missing_ok=True)


@contextmanager
def _ended_after(
    seconds: float | None, process: "subprocess.Popen[bytes]"
) -> Iterator[threading.Event]:
    """Within this block, end the supervised process after a time, and set the event."""
    late = threading.Event()

    def end() -> None:
        late.set()
        cast("IO[bytes]", process.stdin).close()

    timer = threading.Timer(min(seconds or 0.0, threading.TIMEOUT_MAX), end)
    if seconds is not None:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def source_target(root: Path, name: str) -> str:
    """DVC target of `data/<name>/raw`: its .dvc file or dvc.yaml; ConfigError without data set."""
    for file in ("raw.dvc", "dvc.yaml"):
        target = Path("data", name, file)
        if (root / target).is_file():
            return target.as_posix()
    raise ConfigError(
        f"data set `{name}` (params.yaml: data.name) is not in {root / 'data'}; "
        f"bring it in: hgmnet import {name} <folder or zip>"
    )


def _environment() -> dict[str, str]:
    """Environment with this interpreter first on PATH, since stages call `python`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}


def _lines(output: IO[bytes]) -> Iterator[str]:
    """Yield non-empty lines without credentials; of a progress bar only its last state."""
    for line in output:
        if text := line.decode(errors="replace").rstrip():
            yield redact_credentials(text.rpartition("\r")[2])


def _failure(words: Sequence[str], last: Sequence[str]) -> HgmnetError:
    """Make the stage's error from the status that DVC reports and the stage's last message."""
    output = "\n".join(last)
    found = re.findall(r"^ERROR: .* exited with (\d+)$", output, re.MULTILINE)
    kind = _KINDS.get(int(found[-1]), HgmnetError) if found else HgmnetError
    said = re.search(
        r"^(?:hgmnet: \w+: |(?=Rejected, ))(.*?)\s*^ERROR: ", output, re.MULTILINE | re.DOTALL
    )
    if said:
        return kind(said[1])
    return kind(f"`dvc {' '.join(words)}` failed; its last lines:\n{output}")
