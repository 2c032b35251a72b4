"""What a model was made from, read from the files that earlier stages left."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from hgmnet.data.duplicates import Pair
from hgmnet.data.split import Lock, Row
from pipelines.artifacts import TrainRun
from pipelines.files import read_json, read_rows
from pipelines.workspace import Workspace

UNKNOWN = "unknown"
"""The commit, where git could not say."""
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Provenance:
    """Data, split and training; what no file tells is None or empty.

    `data_sha256`: of the manifest, so of every image's pixels, label, masks and group. `copies`,
    `scenes`: pairs of images that are copies, or frames of one scene. `groups`: groups of more
    than one image, and `grouped`: images in them. `sides`: images by class and status in the
    split. `excluded`: images by reason. `lock_id` names the dealing, `split_sha256` its rows.
    """

    data_sha256: str | None
    copies: int | None
    scenes: int | None
    groups: int | None
    grouped: int | None
    sides: dict[tuple[str, str], int]
    excluded: dict[str, int]
    lock_id: str | None
    split_sha256: str | None
    run: TrainRun | None


def read_provenance(space: Workspace) -> Provenance:
    """Read what is there; only a damaged file is an error.

    Raises:
        InvalidDataError: a file is damaged.
    """
    pairs = read_rows(space.pairs, Pair) if space.pairs.exists() else None
    rows = read_rows(space.split_csv, Row) if space.split_csv.exists() else []
    lock = read_if_there(space.split_json, Lock)
    sizes = [count for count in Counter(row.group for row in rows).values() if count > 1]
    return Provenance(
        data_sha256=_sha256(space.manifest),
        copies=None if pairs is None else sum(pair.kind == "copy" for pair in pairs),
        scenes=None if pairs is None else sum(pair.kind == "scene" for pair in pairs),
        groups=len(sizes) if rows else None,
        grouped=sum(sizes) if rows else None,
        sides=dict(Counter((row.label, row.status) for row in rows)),
        excluded=dict(Counter(row.reason for row in rows if row.status == "excluded")),
        lock_id=lock.lock_id if lock else None,
        split_sha256=lock.entries[-1].rows_sha256 if lock and lock.entries else None,
        run=read_if_there(space.train_run, TrainRun),
    )


def read_if_there(path: Path, kind: type[T]) -> T | None:
    """A value that `write_json` wrote, or None where there is no such file.

    Raises:
        InvalidDataError: the file is damaged.
    """
    return read_json(path, kind) if path.exists() else None


def terms(provenance: Provenance) -> tuple[tuple[str, str], ...]:
    """Data and split, as terms and values."""
    known = (
        ("Data (sha256 of the manifest)", provenance.data_sha256),
        ("Split lock", provenance.lock_id),
        ("Split (sha256 of its rows)", provenance.split_sha256),
    )
    return tuple((term, "not available" if value is None else value) for term, value in known)


def run_terms(run: TrainRun | None) -> tuple[tuple[str, str], ...]:
    """How the weights were made, as terms and values."""
    if run is None:
        return (("Training run", "not available: reports/train/run.json is not there"),)
    known = run.git_commit != UNKNOWN
    dirty = ", with uncommitted changes" if known and run.git_dirty else ""
    several = "" if run.processes == 1 else f", {run.processes} processes"
    return (
        ("Trained at commit", f"{run.git_commit}{dirty}" if known else "not available"),
        ("Trained on", f"{run.device}{several}, {run.threads} threads"),
        ("Training took", duration(run.seconds)),
        ("Python", run.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in run.packages.items())),
    )


def likeness(provenance: Provenance) -> str | None:
    """Copies, scenes and groups in a sentence; None where no file tells of them."""
    if provenance.copies is None or provenance.scenes is None:
        return None
    found = f"Likeness: {_count(provenance.copies, 'pair')} of copies and "
    found += f"{_count(provenance.scenes, 'pair')} of frames of one scene were found"
    if provenance.groups is None:
        return f"{found}."
    return (
        f"{found}; {_count(provenance.grouped or 0, 'image')} in "
        f"{_count(provenance.groups, 'group')} of more than one, each on one side of the split."
    )


def excluded(provenance: Provenance) -> tuple[str, ...]:
    """How many images the split leaves out, by reason, the most frequent first."""
    by_count = sorted(provenance.excluded.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{_count(count, 'image')}: {reason}" for reason, count in by_count)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """In the units a person would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
