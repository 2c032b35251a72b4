"""Which locked row an image is: by its pixels where they are known, else by its name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hgmnet.data.record import Record
from hgmnet.data.split import SIDES, Row

_BY_PIXELS = (
    ("pixel_sha256", "name", "label"),
    ("pixel_sha256", "name"),
    ("pixel_sha256", "label"),
    ("pixel_sha256",),
)
_BY_NAME = (("label", "name"), ("name",))


@dataclass(frozen=True)
class Matches:
    """The locked row by image; those without one are new. A row belongs to one image at most.

    `torn`: images with the pixels of one row and the name of another, on another side.
    """

    rows: dict[str, Row]
    torn: set[str]


def match(locked: Sequence[Row], records: Sequence[Record]) -> Matches:
    """Find each image's locked row.

    Pixels say it first (a renamed file), then names (a re-encoded one): the name within the class,
    or alone where no other row and no other image bears it.
    """
    owners: dict[str, Row] = {}
    ordered = sorted(records, key=lambda record: record.image)
    free = sorted(locked, key=lambda row: row.model_dump_json())
    for fields in _BY_PIXELS:
        free = _claim(owners, free, [r for r in ordered if r.pixel_sha256], fields)
    torn = _torn(owners, free, locked, ordered)
    for fields in _BY_NAME:
        named = _unambiguous(locked, ordered, fields)
        free = _claim(owners, free, named, fields)
    return Matches(owners, torn)


def _claim(
    owners: dict[str, Row], free: list[Row], records: Sequence[Record], fields: Sequence[str]
) -> list[Row]:
    """Give free rows to images without one that agree with them in `fields`; return the rest."""
    waiting: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.image not in owners:
            waiting.setdefault(_key(record, fields), []).append(record)
    rest = []
    for row in free:
        takers = waiting.get(_key(row, fields))
        if takers:
            owners[takers.pop(0).image] = row
        else:
            rest.append(row)
    return rest


def _unambiguous(
    locked: Sequence[Row], records: Sequence[Record], fields: Sequence[str]
) -> list[Record]:
    rows = Counter(_key(row, fields) for row in locked)
    images = Counter(_key(record, fields) for record in records)
    return [r for r in records if rows[_key(r, fields)] == 1 == images[_key(r, fields)]]


def _torn(
    owners: dict[str, Row], free: Sequence[Row], locked: Sequence[Row], records: Sequence[Record]
) -> set[str]:
    torn = set()
    for fields in _BY_NAME:
        others = {_key(row, fields): row for row in free if row.status in SIDES}
        for record in _unambiguous(locked, records, fields):
            own, other = owners.get(record.image), others.get(_key(record, fields))
            if own and other and own.status in SIDES and own.status != other.status:
                torn.add(record.image)
    return torn


def _key(known: Row | Record, fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(getattr(known, field) for field in fields)
