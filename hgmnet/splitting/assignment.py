"""Extend the locked split by new images; see `hgmnet.splitting.split_lock`."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hgmnet.config.data import Fractions, Split
from hgmnet.data.image_record import ImageRecord
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import SIDES, Side, SplitRow

_BY_PIXELS = (
    ("pixel_sha256", "name", "label"),
    ("pixel_sha256", "name"),
    ("pixel_sha256", "label"),
    ("pixel_sha256",),
)
_BY_NAME = (("label", "name"), ("name",))


@dataclass(frozen=True)
class Matches:
    """The locked row of each image; images without one are new. A row has at most one image.

    `torn`: images with the pixels of one row and the name of another, in another split.
    """

    rows: dict[str, SplitRow]
    torn: set[str]


def match(locked: Sequence[SplitRow], records: Sequence[ImageRecord]) -> Matches:
    """Find each image's locked row.

    By pixels first (a renamed file), then by name (a re-encoded one): the name within the class, or
    alone if no other row and no other image has it.
    """
    owners: dict[str, SplitRow] = {}
    ordered = sorted(records, key=lambda record: record.image)
    free = sorted(locked, key=lambda row: row.model_dump_json())
    for fields in _BY_PIXELS:
        free = _claim(owners, free, [r for r in ordered if r.pixel_sha256], fields)
    torn = _torn(owners, free, locked, ordered)
    for fields in _BY_NAME:
        free = _claim(owners, free, _unambiguous(locked, ordered, fields), fields)
    return Matches(owners, torn)


def _claim(
    owners: dict[str, SplitRow],
    free: list[SplitRow],
    records: Sequence[ImageRecord],
    fields: Sequence[str],
) -> list[SplitRow]:
    """Give free rows to images without a row that agree in `fields`; return the rest."""
    waiting: dict[tuple[str, ...], list[ImageRecord]] = {}
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
    locked: Sequence[SplitRow], records: Sequence[ImageRecord], fields: Sequence[str]
) -> list[ImageRecord]:
    rows = Counter(_key(row, fields) for row in locked)
    images = Counter(_key(record, fields) for record in records)
    return [r for r in records if rows[_key(r, fields)] == 1 == images[_key(r, fields)]]


def _torn(
    owners: dict[str, SplitRow],
    free: Sequence[SplitRow],
    locked: Sequence[SplitRow],
    records: Sequence[ImageRecord],
) -> set[str]:
    torn = set()
    for fields in _BY_NAME:
        others = {_key(row, fields): row for row in free if row.status in SIDES}
        for record in _unambiguous(locked, records, fields):
            own, other = owners.get(record.image), others.get(_key(record, fields))
            if own and other and own.status in SIDES and own.status != other.status:
                torn.add(record.image)
    return torn


def _key(known: SplitRow | ImageRecord, fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(getattr(known, field) for field in fields)


_CONFLICT = "label conflict"
_FIRST: tuple[Side, ...] = ("train", "test", "val")
"""The splits in the order in which a rare class's first groups are assigned."""


@dataclass
class _Place:
    """An image and its split so far; `side` is None for a new and for an excluded image."""

    record: ImageRecord
    side: Side | None = None
    new: bool = True
    reason: str = ""

    @property
    def waiting(self) -> bool:
        return self.new and self.side is None and not self.reason

    def exclude(self, reason: str) -> None:
        self.side, self.reason = None, reason


_Places = dict[str, _Place]


def extend_split(
    locked: Sequence[SplitRow], records: Sequence[ImageRecord], pairs: Sequence[Pair], params: Split
) -> list[SplitRow]:
    """Give every image a row; it keeps its split, takes its group's, or is assigned one.

    - Excluded are images that curation excludes, unreadable ones, those excluded before, and label
      conflicts in val or test (`params.conflicts: exclude`: everywhere).
    - If a group turns out to have locked images in several splits, its val and test are excluded.
    - A new image whose group is in several splits is a `bridge`: excluded.
    - Groups of new images only are assigned class by class, so that the fractions are restored.
    - Rows whose image is gone stay unchanged.

    `locked`: the present rows; none for a first assignment. `pairs`: near-duplicates, including
    copies. The rows are sorted and do not depend on the order of the images and pairs.
    """
    matches = match(locked, records)
    places = _recall(matches, records)
    clashing = duplicates.conflicts(records, pairs)
    _exclude(places, matches, clashing, params)
    _part_straddling(places, pairs)
    groups = _groups(places, pairs)
    _join(groups, clashing)
    _deal(places, groups, params)
    kept = {id(row) for row in matches.rows.values()}
    rows = [row for row in locked if id(row) not in kept] + _rows(places, groups, pairs)
    return sorted(rows, key=lambda row: (row.label, row.name, row.pixel_sha256, row.status))


def _recall(matches: Matches, records: Iterable[ImageRecord]) -> _Places:
    places: _Places = {}
    for record in sorted(records, key=lambda record: record.image):
        row = matches.rows.get(record.image)
        place = _Place(record, new=row is None, reason=row.reason if row else "")
        if row and row.status != "excluded":
            place.side = row.status
        places[record.image] = place
    return places


def _exclude(places: _Places, matches: Matches, clashing: set[str], params: Split) -> None:
    for image, place in places.items():
        record = place.record
        banned = params.conflicts == "exclude" or place.side in {"val", "test"}
        reasons = (
            record.excluded,
            record.error and "unreadable",
            place.reason,
            _CONFLICT if banned and image in clashing else "",
            "bridge" if image in matches.torn else "",
        )
        if reason := next(filter(None, reasons), ""):
            place.exclude(reason)


def _part_straddling(places: _Places, pairs: Sequence[Pair]) -> None:
    """Compare settled images only, and pairs between them: a new image that links is a bridge."""
    settled = {image: place for image, place in places.items() if place.side}
    for members in _groups(settled, pairs).values():
        if len(_sides(members)) > 1:
            for place in members:
                if place.side != "train":
                    place.exclude("group on several sides")


def _join(groups: dict[str, list[_Place]], clashing: set[str]) -> None:
    for members in groups.values():
        sides = _sides(members)
        waiting = [place for place in members if place.waiting]
        clash = [place for place in waiting if place.record.image in clashing]
        if sides - {"train"} or any(place.reason == _CONFLICT for place in members):
            for place in clash:  # its copy is in val or test, so it may not train
                place.exclude(_CONFLICT)
        elif clash:
            sides = {"train"}
        for place in filter(lambda place: place.waiting, waiting):
            if len(sides) > 1:
                place.exclude("bridge")
            elif sides:
                (place.side,) = sides


def _deal(places: _Places, groups: dict[str, list[_Place]], params: Split) -> None:
    held: dict[str, Counter[Side]] = {place.record.label: Counter() for place in places.values()}
    for place in places.values():
        if place.side:
            held[place.record.label][place.side] += 1
    queues: dict[str, list[list[_Place]]] = {}
    for members in groups.values():
        if waiting := [place for place in members if place.waiting]:
            labels = Counter(sorted(place.record.label for place in waiting))
            queues.setdefault(labels.most_common(1)[0][0], []).append(waiting)
    for label, queue in sorted(queues.items()):
        queue.sort(key=lambda waiting: (-len(waiting), _ticket(params.seed, waiting)))
        for turn, waiting in enumerate(queue):
            side = _neediest(held[label], len(waiting), len(queue) - turn, params.fractions)
            for place in waiting:
                place.side = side
                held[place.record.label][side] += 1


def _neediest(held: Counter[Side], size: int, groups_left: int, fractions: Fractions) -> Side:
    """Choose a split by Webster's divisor method; the last groups go to splits without one."""
    empty = [side for side in _FIRST if not held[side]]
    if groups_left <= len(empty):
        return empty[0]
    shares: dict[str, float] = fractions.model_dump()
    return min(SIDES, key=lambda side: (held[side] + size / 2) / shares[side])


def _ticket(seed: int, members: Iterable[_Place]) -> str:
    """Shuffle by hash, independent of paths and the order of files."""
    known = min((m.record.pixel_sha256, m.record.name, m.record.label) for m in members)
    return hashlib.sha256(f"{seed} {known}".encode()).hexdigest()


def _rows(
    places: _Places, groups: dict[str, list[_Place]], pairs: Sequence[Pair]
) -> list[SplitRow]:
    """Build rows; groups are linked by all images, or by settled ones only if splits would mix."""
    names = {m.record.image: name for name, members in groups.items() for m in members}
    split = {
        member.record.image: member
        for members in groups.values()
        if len(_sides(members)) > 1
        for member in members
        if member.side
    }
    names |= duplicates.group(split, pairs)
    return [
        SplitRow(
            pixel_sha256=place.record.pixel_sha256,
            name=place.record.name,
            label=place.record.label,
            group=names[image],
            status=place.side or "excluded",
            reason=place.reason,
        )
        for image, place in places.items()
    ]


def _groups(places: _Places, pairs: Iterable[Pair]) -> dict[str, list[_Place]]:
    groups: dict[str, list[_Place]] = {}
    for image, name in duplicates.group(places, pairs).items():
        groups.setdefault(name, []).append(places[image])
    return groups


def _sides(members: Iterable[_Place]) -> set[Side]:
    return {place.side for place in members if place.side is not None}
