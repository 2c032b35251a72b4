"""Join imported data sets into one, to train a model on all of them."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from hgmnet.data import metadata
from hgmnet.data.folder_layout import Sample, scan
from hgmnet.data.metadata import ImageMetadata, Note
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.importing.importer import staged
from hgmnet.splitting.split_lock import Lock, SplitRow, new_lock, rows_sha256
from pipelines.artifacts import io
from pipelines.artifacts.paths import Workspace
from pipelines.operations.import_dataset import importing, put_raw
from pipelines.operations.run_overrides import alone

SET = "set"
"""Column of the joint images.csv: the data set that an image comes from."""


def join_datasets(root: Path, name: str, sets: Sequence[str], *, replace: bool = False) -> str:
    """Copy the images of data sets into data/<name>/raw, and add them to DVC; return a summary.

    `<class>/<stem>.png` of the set `a` becomes `<class>/a_<stem>.png`, its patient `p` `a_p`.
    images.csv has the column `set` and those of all sets. curation.csv is made of theirs. An image
    stays in the split that its own set has assigned it to; those of a set without a split are
    assigned by the next `dvc repro`. `replace`: make the joint set again.

    Raises:
        ConfigError: fewer than two sets, a set twice, splits of other seeds or fractions, or as
            `import_dataset`.
        InvalidDataError: a set has no images, or its curation.csv or split is damaged, or two
            images would have one name.
    """
    space, members = Workspace(root, name), [Workspace(root, one) for one in sets]
    if len(set(sets)) < 2 or len(set(sets)) < len(sets) or name in sets:
        given = ", ".join(sets)
        raise ConfigError(f"expected two or more data sets other than {name}, got {given}")
    lines, notes = [], list[Note]()
    with ExitStack() as stack:
        if replace:
            stack.enter_context(alone(root, f"hgmnet join {name} --replace"))
        stack.enter_context(importing(space, replace=replace))
        rows, lock = _split(members)
        with staged(space.raw) as part:
            entries: list[ImageMetadata] = []
            for member in members:
                samples = _samples(member)
                entries += _copied(member, samples, part)
                notes += _notes(member, samples)
                lines.append(f"{member.data}: {len(samples)} images")
            metadata.write(part, entries)
            put_raw(space, part)
        io.write_rows(space.curation, Note, notes)
        if lock:
            earlier = io.read_json(space.split_json, Lock) if space.split_json.exists() else None
            there = sum(row.status != "excluded" for row in rows)
            reason = f"the splits of {', '.join(sets)}"
            lock = new_lock(rows, lock, earlier, reason, there)
            io.write_rows(space.split_csv, SplitRow, rows)
            io.write_json(space.split_json, lock)
    return "\n".join(lines)


def _samples(member: Workspace) -> list[Sample]:
    samples = scan(member.raw)
    if broken := next((sample for sample in samples if sample.error), None):
        raise InvalidDataError(f"{member.raw}: {broken.image} {broken.error}")
    return samples


def _copied(member: Workspace, samples: Sequence[Sample], part: Path) -> Iterator[ImageMetadata]:
    known = metadata.read(member.raw, [sample.image for sample in samples])
    for sample in samples:
        for file in (sample.image, *sample.masks):
            target = part / _renamed(member, file)
            if target.exists():
                raise InvalidDataError(f"{target.name} would be the name of two images; rename one")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(member.raw / file, target)
        one = known.get(sample.image) or ImageMetadata(
            image=sample.image, patient="", pixel_mm=0.0, further={}
        )
        yield one.model_copy(
            update={
                "image": _renamed(member, sample.image),
                "source_name": f"{member.data}/{sample.image}",
                "patient": one.patient and f"{member.data}_{one.patient}",
                "further": {SET: member.data} | one.further,
            }
        )


def _renamed(member: Workspace, image: str) -> str:
    path = PurePosixPath(image)
    return str(path.with_name(f"{member.data}_{path.name}"))


def _notes(member: Workspace, samples: Sequence[Sample]) -> Iterator[Note]:
    for note in metadata.read_notes(member.curation, [sample.image for sample in samples]):
        group = note.group and f"{member.data}_{note.group}"
        yield note.model_copy(update={"image": _renamed(member, note.image), "group": group})


def _split(members: Sequence[Workspace]) -> tuple[list[SplitRow], Lock | None]:
    """Rows of all sets that have a split, renamed, and the lock of the first; None if none has."""
    rows: list[SplitRow] = []
    first: Lock | None = None
    for member in members:
        if not member.split_json.exists():
            continue
        lock = io.read_json(member.split_json, Lock)
        own = io.read_rows(member.split_csv, SplitRow)
        if not lock.entries or rows_sha256(own) != lock.entries[-1].rows_sha256:
            raise InvalidDataError(
                f"{member.split_csv} is not the one that split.json locked; restore both from git"
            )
        first = first or lock
        if (lock.seed, lock.fractions) != (first.seed, first.fractions):
            raise ConfigError(
                f"{member.split_json} has another seed or other fractions than the first set's "
                "split; split it again with the same: hgmnet resplit"
            )
        rows += [
            row.model_copy(
                update={"name": f"{member.data}_{row.name}", "group": _renamed(member, row.group)}
            )
            for row in own
        ]
    return rows, first
