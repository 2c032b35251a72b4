"""The locked split: which images train, tune and test. Once there, an image never changes sides.

`extend_split` takes the locked rows and today's records and returns tomorrow's rows. An image is
known by the hash of its pixels or, failing that, by its name. It only ever leaves: what links two
splits is excluded, and nothing moves into train.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from hgmnet.config.base import Frozen
from hgmnet.config.data import Fractions, Split
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import ConfigError, InvalidDataError

Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = ("train", "val", "test")


class SplitRow(Frozen):
    """One image's place; `reason` says why it is excluded, and is empty otherwise."""

    pixel_sha256: str
    name: str
    label: str
    group: str
    status: Literal["train", "val", "test", "excluded"]
    reason: str


class SplitHistoryEntry(Frozen):
    """What split.csv was after a change, why it changed, and how many images were on a side."""

    rows_sha256: str
    reason: str
    images: int


class Lock(Frozen):
    """What holds split.csv: `lock_id` names one assignment and outlives every extension of it."""

    lock_id: str
    seed: int
    fractions: Fractions
    entries: tuple[SplitHistoryEntry, ...]


class ActiveImage(Frozen):
    """An image that is in the data set and on a side."""

    record: ImageRecord
    row: SplitRow


def active_images(rows: Iterable[SplitRow], records: Iterable[ImageRecord]) -> list[ActiveImage]:
    """Join rows with the images that are there; withdrawn and excluded ones are left out.

    Returns:
        In the order of the records.

    Raises:
        InvalidDataError: an image has no row.
    """
    known = {(row.pixel_sha256, row.name, row.label): row for row in rows}
    joined = []
    for record in records:
        row = known.get((record.pixel_sha256, record.name, record.label))
        if row is None:
            msg = f"{record.image} is not in split.csv; take it in: dvc repro split"
            raise InvalidDataError(msg)
        if row.status != "excluded":
            joined.append(ActiveImage(record=record, row=row))
    return joined


def test_sha(images: Iterable[tuple[str, str]]) -> str:
    """Hash the live test images: figures with the same hash are comparable.

    Args:
        images: pixel hash and label of each image that is there and on the test side.
    """
    return _sha(sorted(f"{pixels} {label}" for pixels, label in images))


def rows_sha256(rows: Iterable[SplitRow]) -> str:
    """Hash rows, whatever their order."""
    return _sha(sorted(row.model_dump_json() for row in rows))


def new_lock(
    rows: Sequence[SplitRow], params: Split, earlier: Lock | None, reason: str, images: int
) -> Lock:
    """Lock a fresh assignment with this many images on a side; what was recorded earlier is kept.

    The id follows from rows, seed, fractions and history alone: the same data give the same id.
    """
    entries = earlier.entries if earlier else ()
    entry = SplitHistoryEntry(rows_sha256=rows_sha256(rows), reason=reason, images=images)
    basis = [str(params.seed), params.fractions.model_dump_json(), str(len(entries))]
    return Lock(
        lock_id=_sha([*basis, entry.rows_sha256])[:16],
        seed=params.seed,
        fractions=params.fractions,
        entries=(*entries, entry),
    )


def extended_lock(lock: Lock, rows: Sequence[SplitRow], reason: str, images: int) -> Lock:
    """Record what the rows have become; the same rows and images leave the lock as it is."""
    entry = SplitHistoryEntry(rows_sha256=rows_sha256(rows), reason=reason, images=images)
    last = lock.entries[-1]
    if (entry.rows_sha256, entry.images) == (last.rows_sha256, last.images):
        return lock
    return lock.model_copy(update={"entries": (*lock.entries, entry)})


def check_size(lock: Lock, images: int, max_lost: float) -> None:
    """Hold the number of images on a side against the last time.

    Raises:
        InvalidDataError: more than the share `max_lost` of them is gone.
    """
    before = lock.entries[-1].images
    if before - images > max_lost * before:
        msg = (
            f"{before - images} of {before} images are gone since the last time, more than "
            f"{max_lost:.0%}; bring them back, or, if that is meant, raise split.max_lost"
        )
        raise InvalidDataError(msg)


def verify(rows: Sequence[SplitRow], lock: Lock, params: Split) -> None:
    """Compare rows and settings with the lock.

    Raises:
        ConfigError: seed or fractions are not those that were assigned with.
        InvalidDataError: the rows are not those of the last entry.
    """
    if (lock.seed, lock.fractions) != (params.seed, params.fractions):
        was, now = _settings(lock.seed, lock.fractions), _settings(params.seed, params.fractions)
        msg = (
            f"split: the images were assigned with {was}, params.yaml says {now}; put it back, or "
            'split again: hgmnet resplit --reason "..."'
        )
        raise ConfigError(msg)
    if not lock.entries or rows_sha256(rows) != lock.entries[-1].rows_sha256:
        msg = (
            "split.csv is not the one that split.json locked; bring both back from git, or split "
            'again: hgmnet resplit --reason "..."'
        )
        raise InvalidDataError(msg)


def _settings(seed: int, fractions: Fractions) -> str:
    shares = " / ".join(f"{share:g}" for share in (fractions.train, fractions.val, fractions.test))
    return f"seed {seed} and {shares}"


def _sha(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
