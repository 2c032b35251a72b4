"""One run at a time in a checkout, with a profile in place of params.yaml where it asks for one.

DVC reads params.yaml, so the profile is written there, after a journal of what stood there before.
The run's lock goes with its process, however that ends: whoever then finds the journal, or the copy
that an experiment ran in, puts params.yaml back and removes the copy.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from hgmnet.data.atomic import atomic
from hgmnet.errors import ConfigError
from pipelines.artifacts.paths import EXPERIMENTS

_STATE, _LOCK, _HOLDER, _JOURNAL = ".hgmnet", "run.lock", "run.json", "params.journal.json"


@contextmanager
def alone(root: Path, what: str) -> Iterator[None]:
    """Be the only run in this checkout; `what`: this run, in words, for the message to another.

    Raises:
        ConfigError: another one is under way.
    """
    from filelock import FileLock, Timeout

    state = root / _STATE
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / _LOCK, timeout=0):
            _clear(root)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"what": what, "pid": os.getpid(), "since": since}
            (state / _HOLDER).write_text(json.dumps(holder), encoding="utf-8")
            yield
    except Timeout:
        other = "another run"
        with suppress(OSError, ValueError, KeyError):
            found = json.loads((state / _HOLDER).read_text(encoding="utf-8"))
            other = f"{found['what']} (process {found['pid']}, since {found['since']})"
        raise ConfigError(f"{other} is under way in {root}; wait for its end, or stop it") from None


@contextmanager
def with_profile(root: Path, profile: str | None) -> Iterator[None]:
    """Have a profile's settings in params.yaml, within `alone`; None: leave them as they are.

    Raises:
        ConfigError: there is no such profile, or its settings are not legal; params.yaml is
            untouched then.
    """
    from hgmnet.config.params import load_params

    if profile is None:
        yield
        return
    file, params = settings_file(root, profile), root / "params.yaml"
    load_params(file)
    noted = {"before": params.read_text(encoding="utf-8"), "during": file.read_text("utf-8")}
    _write(root / _STATE / _JOURNAL, json.dumps(noted))
    try:
        _write(params, noted["during"])
        yield
    finally:
        _put_back(root)


def settings_file(root: Path, profile: str | None) -> Path:
    """params.yaml, or the profile of that name.

    Raises:
        ConfigError: there is no such profile.
    """
    if profile is None:
        return root / "params.yaml"
    file = root / "profiles" / f"{profile}.yaml"
    if not file.is_file():
        there = ", ".join(sorted(p.stem for p in (root / "profiles").glob("*.yaml")))
        raise ConfigError(f"no profile `{profile}`; there are: {there or 'none'}")
    return file


def experiment_folder(root: Path) -> Path:
    """Where the copy lies that a flow runs an experiment in."""
    return root.joinpath(*EXPERIMENTS, "hgmnet")


def restore(root: Path) -> None:
    """Put params.yaml back, and remove an experiment's copy, where their run has died."""
    from filelock import FileLock, Timeout

    if (root / _STATE / _JOURNAL).exists() or experiment_folder(root).exists():
        with suppress(Timeout), FileLock(root / _STATE / _LOCK, timeout=0):  # else its run lives
            _clear(root)


def _clear(root: Path) -> None:
    """What `restore` does, for the holder of the lock."""
    shutil.rmtree(experiment_folder(root), ignore_errors=True)
    if (root / _STATE / _JOURNAL).exists() and _put_back(root):
        print("params.yaml: put back as it was before a run that died", file=sys.stderr)


def _put_back(root: Path) -> bool:
    """Put params.yaml back as the journal has it, unless somebody has edited it meanwhile.

    The edit stays then, and what stood there before is kept beside the journal.
    """
    params, journal = root / "params.yaml", root / _STATE / _JOURNAL
    noted = json.loads(journal.read_text(encoding="utf-8"))
    edited = params.exists() and params.read_text(encoding="utf-8") not in noted.values()
    kept = root / _STATE / "params.before.yaml"
    _write(kept if edited else params, noted["before"])
    if edited:
        print(f"params.yaml was edited during a run, and stays; before it: {kept}", file=sys.stderr)
    journal.unlink()
    return not edited


def _write(path: Path, text: str) -> None:
    with atomic(path, sync=True) as part:
        part.write_text(text, encoding="utf-8")
