"""One run at a time in a checkout, with a profile instead of params.yaml if requested.

DVC reads params.yaml, so the profile is written there, after its former text was saved in a
journal. The lock ends with the run's process: the next command that finds a journal, an
experiment's copy or images moved aside restores params.yaml and the images, and removes the copy.
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
_ASIDE = "data/*/.raw.*.old"


@contextmanager
def alone(root: Path, what: str) -> Iterator[None]:
    """Lock this checkout for one run, `what` in messages; ConfigError if another holds the lock."""
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
    """Write a profile's settings to params.yaml for the block, within `alone`; None: no change.

    Raises:
        ConfigError: no such profile, or its settings are not valid; params.yaml is unchanged.
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
    """Path of params.yaml, or of the named profile; ConfigError if there is none."""
    if profile is None:
        return root / "params.yaml"
    file = root / "profiles" / f"{profile}.yaml"
    if not file.is_file():
        there = ", ".join(sorted(p.stem for p in (root / "profiles").glob("*.yaml")))
        raise ConfigError(f"no profile `{profile}`; there are: {there or 'none'}")
    return file


def experiment_folder(root: Path) -> Path:
    """Folder of the copy in which a flow runs an experiment."""
    return root.joinpath(*EXPERIMENTS, "hgmnet")


def restore(root: Path) -> None:
    """Restore params.yaml and images, and remove an experiment's copy, after a run that died."""
    from filelock import FileLock, Timeout

    left = (root / _STATE / _JOURNAL, experiment_folder(root), *root.glob(_ASIDE))
    if any(path.exists() for path in left):
        with suppress(Timeout), FileLock(root / _STATE / _LOCK, timeout=0):  # else its run lives
            _clear(root)


def _clear(root: Path) -> None:
    """Do the work of `restore`; the caller holds the lock."""
    shutil.rmtree(experiment_folder(root), ignore_errors=True)
    for aside in root.glob(_ASIDE):
        from hgmnet.importing import importer

        importer.restore(aside.parent / "raw")
    if (root / _STATE / _JOURNAL).exists() and _put_back(root):
        print("params.yaml: put back as it was before a run that died", file=sys.stderr)


def _put_back(root: Path) -> bool:
    """Restore params.yaml from the journal; return False if a user has edited it meanwhile.

    Then the edit stays, and the former text is saved beside the journal.
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
