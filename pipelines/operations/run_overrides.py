"""One run at a time in a checkout, with settings of its own where it asks for them.

DVC reads params.yaml, so a run with other settings writes them there, notes in a journal what stood
there before, and puts it back. The lock that it holds goes with its process, however that ends:
whoever then finds the journal without a holder puts params.yaml back first.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hgmnet.data.atomic import atomic
from hgmnet.errors import ConfigError

_STATE, _LOCK, _HOLDER, _JOURNAL = ".hgmnet", "run.lock", "run.json", "params.journal.json"


@contextmanager
def alone(root: Path, what: str) -> Iterator[None]:
    """Be the only run in this checkout.

    Args:
        root: the repository.
        what: this run, in words, for whoever comes second.

    Raises:
        ConfigError: another one is under way.
    """
    from filelock import FileLock, Timeout

    state = root / _STATE
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / _LOCK, timeout=0):
            restore(root, held=True)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"what": what, "pid": os.getpid(), "since": since}
            (state / _HOLDER).write_text(json.dumps(holder), encoding="utf-8")
            yield
    except Timeout:
        msg = f"{_said(state / _HOLDER)} is under way in {root}; wait for its end, or stop it"
        raise ConfigError(msg) from None


@contextmanager
def overridden(root: Path, profile: str | None, changes: Mapping[str, Any]) -> Iterator[None]:
    """Have other settings in params.yaml, within `alone`.

    Args:
        root: the repository.
        profile: one of profiles/ in place of params.yaml; None for params.yaml as it is.
        changes: values by dotted key, as `train.epochs`.

    Raises:
        ConfigError: there is no such profile or key, or the settings are not legal; params.yaml is
            untouched then.
    """
    if profile is None and not changes:
        yield
        return
    params, journal = root / "params.yaml", root / _STATE / _JOURNAL
    before, during = params.read_text(encoding="utf-8"), _text(root, profile, changes)
    noted = {"pid": os.getpid(), "before": before, "during": during}
    _write(journal, json.dumps(noted))
    try:
        _write(params, during)
        yield
    finally:
        restore(root, held=True)


def restore(root: Path, *, held: bool = False) -> None:
    """Put params.yaml back where a run that had its own has ended without doing so.

    What somebody wrote there meanwhile is left, and what stood before is kept beside it.

    Args:
        root: the repository.
        held: whether this process is the one run.
    """
    journal = root / _STATE / _JOURNAL
    if not journal.exists():
        return
    if not held:
        from filelock import FileLock, Timeout

        try:
            with FileLock(root / _STATE / _LOCK, timeout=0):
                restore(root, held=True)
        except Timeout:
            pass  # its run lives
        return
    noted = json.loads(journal.read_text(encoding="utf-8"))
    params = root / "params.yaml"
    if params.exists() and params.read_text(encoding="utf-8") not in {
        noted["during"],
        noted["before"],
    }:
        kept = root / _STATE / "params.before.yaml"
        _write(kept, noted["before"])
        print(f"params.yaml was edited during a run, and stays; before it: {kept}", file=sys.stderr)
    else:
        _write(params, noted["before"])
        if noted["pid"] != os.getpid():
            msg = f"params.yaml: put back as it was before a run that died (process {noted['pid']})"
            print(msg, file=sys.stderr)
    journal.unlink()


def _text(root: Path, profile: str | None, changes: Mapping[str, Any]) -> str:
    """The settings as YAML, comments and order kept."""
    import io

    from pydantic import ValidationError
    from ruamel.yaml import YAML

    from hgmnet.config.base import problems
    from hgmnet.config.params import Params

    base = root / "params.yaml" if profile is None else root / "profiles" / f"{profile}.yaml"
    if not base.is_file():
        there = ", ".join(sorted(p.stem for p in (root / "profiles").glob("*.yaml")))
        raise ConfigError(f"no profile `{profile}`; there are: {there or 'none'}")
    yaml = YAML()
    tree = yaml.load(base.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = tree
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ConfigError(f"{key} is not a setting of {base.name}; as train.epochs=3")
        place[last] = value
    text = io.StringIO()
    yaml.dump(tree, text)
    try:
        Params.model_validate(YAML(typ="safe", pure=True).load(text.getvalue()))
    except ValidationError as error:
        raise ConfigError(
            f"with these changes {base.name}: " + "; ".join(problems(error))
        ) from None
    return text.getvalue()


def _said(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
        return f"{found['what']} (process {found['pid']}, since {found['since']})"
    except (OSError, ValueError, KeyError):
        return "another run"


def _write(path: Path, text: str) -> None:
    with atomic(path, sync=True) as part:
        part.write_text(text, encoding="utf-8")
