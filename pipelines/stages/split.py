"""Stage split: assign new images and keep the others; it reads and extends its own outputs."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hgmnet.config import data
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import InvalidDataError
from hgmnet.splitting import assignment
from hgmnet.splitting import split_lock as locked_split
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import SIDES, ActiveImage, Lock, SplitRow
from pipelines.artifacts import io
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.validation import ValidationReport


def run(root: Path, data: data.Data, split: data.Split) -> None:
    """Extend split.csv and split.json by new images, or assign all for the first time.

    Raises:
        ConfigError: seed or fractions differ from the lock's.
        InvalidDataError: the images did not pass validation, split.csv is not the locked one, a
            class is absent from a split, or too many images are gone.
    """
    space = Workspace(root, data.name)
    rows, lock = _read(space, split)
    records = _valid_records(space)
    extended = assignment.extend_split(rows, records, io.read_rows(space.pairs, Pair), split)
    images = len(locked_split.active_images(extended, records))
    if lock:
        locked_split.check_size(lock, images, split.max_lost)
        why = "images came, left or changed"
        lock = locked_split.extended_lock(lock, extended, why, images)
    else:
        lock = locked_split.new_lock(extended, split, None, "first assignment", images)
    _write(space, extended, lock, records)


def resplit(root: Path, data: data.Data, split: data.Split, reason: str) -> None:
    """Split all images again; the lock's history keeps the reason.

    Raises:
        InvalidDataError: as `run`, except that the lock is not checked.
    """
    space = Workspace(root, data.name)
    records = _valid_records(space)
    rows = assignment.extend_split([], records, io.read_rows(space.pairs, Pair), split)
    earlier = _read_lock(space) if space.split_json.is_file() else None
    images = len(locked_split.active_images(rows, records))
    lock = locked_split.new_lock(rows, split, earlier, reason, images)
    _write(space, rows, lock, records)


def _read(space: Workspace, params: data.Split) -> tuple[list[SplitRow], Lock | None]:
    _complete(space)
    there = [path for path in (space.split_csv, space.split_json) if path.is_file()]
    if not there:
        return [], None
    if len(there) == 1:
        msg = (
            f"found {there[0]} alone, expected split.csv and split.json; restore both from git, or "
            'split again: hgmnet resplit --reason "..."'
        )
        raise InvalidDataError(msg)
    rows = io.read_rows(space.split_csv, SplitRow)
    lock = _read_lock(space)
    locked_split.verify(rows, lock, params)
    return rows, lock


def _read_lock(space: Workspace) -> Lock:
    try:
        return io.read_json(space.split_json, Lock)
    except InvalidDataError:
        raise InvalidDataError(
            f"{space.split_json} is damaged; restore it and split.csv from git, or remove both "
            'and split again: hgmnet resplit --reason "..."'
        ) from None


def _valid_records(space: Workspace) -> list[ImageRecord]:
    if not io.read_json(space.validation, ValidationReport).passed:
        msg = f"the images did not pass validation ({space.validation}); fix them, then dvc repro"
        raise InvalidDataError(msg)
    return io.read_rows(space.manifest, ImageRecord)


def _write(space: Workspace, rows: list[SplitRow], lock: Lock, records: list[ImageRecord]) -> None:
    there = locked_split.active_images(rows, records)
    _check(there)
    io.write_rows(_next(space), SplitRow, rows)
    io.write_json(space.split_json, lock)
    _complete(space)
    sides = Counter(item.row.status for item in there)
    assigned = ", ".join(f"{side} {sides[side]}" for side in SIDES)
    sha = locked_split.test_sha(
        (item.row.pixel_sha256, item.row.label) for item in there if item.row.status == "test"
    )
    print(f"{assigned}, excluded {len(records) - len(there)}; test set {sha[:12]}")


def _next(space: Workspace) -> Path:
    """Path of the rows of a split.json that is about to be written."""
    return space.split_csv.with_name(".split.csv.new")


def _complete(space: Workspace) -> None:
    """Move new rows to split.csv if split.json has their hash, also after a kill in between."""
    with suppress(InvalidDataError):  # there are none, or no split.json
        rows = io.read_rows(_next(space), SplitRow)
        if locked_split.rows_sha256(rows) == _read_lock(space).entries[-1].rows_sha256:
            _next(space).replace(space.split_csv)


def _check(there: Sequence[ActiveImage]) -> None:
    """Check that no group is in two splits, no split is empty, and every split has every class."""
    sides: dict[str, set[str]] = {}
    for item in there:
        sides.setdefault(item.row.group, set()).add(item.row.status)
    straddling = sorted(group for group, found in sides.items() if len(found) > 1)
    if straddling:
        msg = f"groups in several splits: {straddling}"
        raise AssertionError(msg)
    if empty := [side for side in SIDES if side not in {item.row.status for item in there}]:
        (group, size), *_ = Counter(item.row.group for item in there).most_common(1) or [("", 0)]
        patient = next((i.record.patient for i in there if i.row.group == group), "")
        whose = f"of patient {patient!r}" if patient else f"like {group}"
        msg = (
            f"{' and '.join(empty)} would be empty: {size} of {len(there)} images are one group, "
            f"{whose}; give patients ids of their own, leave them empty where they are unknown, "
            "or add images"
        )
        raise InvalidDataError(msg)
    for label in sorted({item.row.label for item in there}):
        rows = [item.row for item in there if item.row.label == label]
        absent = [side for side in SIDES if side not in {row.status for row in rows}]
        if absent and len({row.group for row in rows}) >= len(SIDES):
            msg = (
                f"no {label} image is left in {' and '.join(absent)}; restore or add images, "
                'or split again: hgmnet resplit --reason "..."'
            )
            raise InvalidDataError(msg)
