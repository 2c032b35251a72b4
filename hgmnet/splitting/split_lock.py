"""The locked split into train, val and test. An image never changes its split.

`extend_split` takes the locked rows and today's records and returns the new rows. An image is
recognised by the hash of its pixels or else by its name. An image that links two splits is
excluded; none is moved to another split.
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
    """One image's split; `reason` for its exclusion, otherwise empty."""

    pixel_sha256: str
    name: str
    label: str
    group: str
    status: Literal["train", "val", "test", "excluded"]
    reason: str


class SplitHistoryEntry(Frozen):
    """The hash of split.csv after a change, the reason, and the number of images in a split."""

    rows_sha256: str
    reason: str
    images: int


class Lock(Frozen):
    """The lock of split.csv: `lock_id` identifies an assignment and all its extensions."""

    lock_id: str
    seed: int
    fractions: Fractions
    entries: tuple[SplitHistoryEntry, ...]


class ActiveImage(Frozen):
    """An image that is in the data set and in a split."""

    record: ImageRecord
    row: SplitRow


def active_images(rows: Iterable[SplitRow], records: Iterable[ImageRecord]) -> list[ActiveImage]:
    """Join rows with present images, in order, without excluded ones; InvalidDataError: no row."""
    known = {(row.pixel_sha256, row.name, row.label): row for row in rows}
    joined = []
    for record in records:
        row = known.get((record.pixel_sha256, record.name, record.label))
        if row is None:
            raise InvalidDataError(f"{record.image} is not in split.csv; add it: dvc repro split")
        if row.status != "excluded":
            joined.append(ActiveImage(record=record, row=row))
    return joined


def test_sha(images: Iterable[tuple[str, str]]) -> str:
    """Hash pixel hashes and labels of the test images; figures of equal hashes are comparable."""
    return _sha(sorted(f"{pixels} {label}" for pixels, label in images))


def rows_sha256(rows: Iterable[SplitRow]) -> str:
    """Hash rows, independent of their order."""
    return _sha(sorted(row.model_dump_json() for row in rows))


def new_lock(
    rows: Sequence[SplitRow], params: Split | Lock, earlier: Lock | None, reason: str, images: int
) -> Lock:
    """Lock a new assignment with `images` images in splits; earlier entries are kept.

    `params`: supplies seed and fractions. The id depends on rows, seed, fractions and history
    only: equal data give equal ids.
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
    """Record the new rows; if rows and number of images are the same, the lock stays unchanged."""
    entry = SplitHistoryEntry(rows_sha256=rows_sha256(rows), reason=reason, images=images)
    last = lock.entries[-1]
    if (entry.rows_sha256, entry.images) == (last.rows_sha256, last.images):
        return lock
    return lock.model_copy(update={"entries": (*lock.entries, entry)})


def check_size(lock: Lock, images: int, max_lost: float) -> None:
    """Raise InvalidDataError if more than `max_lost` of the last entry's images are gone."""
    before = lock.entries[-1].images
    if before - images > max_lost * before:
        raise InvalidDataError(
            f"{before - images} of {before} images are missing since the last time, more than "
            f"{max_lost:.0%}; restore them, or raise split.max_lost if that is intended"
        )


def verify(rows: Sequence[SplitRow], lock: Lock, params: Split) -> None:
    """Compare rows and settings with the lock.

    Raises:
        ConfigError: seed or fractions differ from the assignment's.
        InvalidDataError: the rows differ from the last entry's.
    """
    if (lock.seed, lock.fractions) != (params.seed, params.fractions):
        was, now = _settings(lock.seed, lock.fractions), _settings(params.seed, params.fractions)
        raise ConfigError(
            f"split: the images were assigned with {was}, params.yaml has {now}; undo that, or "
            'split again: hgmnet resplit --reason "..."'
        )
    if not lock.entries or rows_sha256(rows) != lock.entries[-1].rows_sha256:
        raise InvalidDataError(
            "split.csv is not the one that split.json locked; restore both from git, or split "
            'again: hgmnet resplit --reason "..."'
        )


def _settings(seed: int, fractions: Fractions) -> str:
    shares = " / ".join(f"{share:g}" for share in (fractions.train, fractions.val, fractions.test))
    return f"seed {seed} and {shares}"


def _sha(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
