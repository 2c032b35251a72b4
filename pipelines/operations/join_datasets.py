"""Join imported data sets into one, to train a model on all of them."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from hgmnet.data import metadata
from hgmnet.data.folder_layout import Sample, scan
from hgmnet.data.image_files import stem_of
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


def join_datasets(root: Path, name: str, sets: Sequence[str]) -> str:
    """Copy the images of data sets into data/<name>/raw, and add them to DVC; return a summary.

    `<class>/<stem>.png` of the set `a` becomes `<class>/a_<stem>.png`; its patient, its clip
    and its group in curation.csv begin with `a/`. images.csv has the columns of all sets, and
    `set`. Every image has the split that its own set has assigned it to.

    Raises:
        ConfigError: the sets are fewer than two, unknown, joint ones, or alike in name, or their
            splits have other seeds or fractions; or as `import_dataset`.
        InvalidDataError: images or the split of a set are missing or damaged, or data/<name> is
            there already.
    """
    space, members = Workspace(root, name), [Workspace(root, one) for one in sets]
    _refuse_unfit(root, name, sets)
    _refuse_present(space)
    with alone(root, f"hgmnet join {name}"), importing(space, replace=False):
        samples = [_samples(member) for member in members]
        splits = [_split(m, found) for m, found in zip(members, samples, strict=True)]
        lock = _common(members, [lock for _, lock in splits])
        rows = [row for own, _ in splits for row in own]
        notes: list[Note] = []
        entries: list[ImageMetadata] = []
        with staged(space.raw) as part:
            for member, found in zip(members, samples, strict=True):
                entries += _copied(member, found, part)
                notes += _notes(member, found)
            metadata.write(part, entries)
            # The split comes before the images: images without it would be split again.
            space.folder.mkdir(parents=True, exist_ok=True)
            io.write_rows(space.split_csv, SplitRow, rows)
            # 0 images: none is missed when stage `split` counts them for the first time.
            joined = new_lock(rows, lock, None, f"the splits of {', '.join(sets)}", 0)
            io.write_json(space.split_json, joined)
            io.write_rows(space.curation, Note, notes)
            put_raw(space, part)
    counts = zip(sets, samples, strict=True)
    return "\n".join(f"{one}: {len(found)} images" for one, found in counts)


def _refuse_unfit(root: Path, name: str, sets: Sequence[str]) -> None:
    if len(set(sets)) < 2 or len(set(sets)) < len(sets) or name in sets:
        given = ", ".join(sets)
        raise ConfigError(f"expected two or more data sets other than {name}, got {given}")
    known = {path.name for path in (root / "data").glob("*/")}
    if unknown := [one for one in sets if one not in known]:
        raise ConfigError(f"there is no data set {unknown[0]}; import it: hgmnet import")
    for one in sets:
        if alike := [other for other in sets if other.startswith(f"{one}_")]:
            raise ConfigError(
                f"names of images from {one} and {alike[0]} could be the same; import one of the "
                "sets under another name"
            )


def _refuse_present(space: Workspace) -> None:
    """Allow what a killed join leaves: a split and notes without images."""
    own = {space.split_csv, space.split_json, space.curation}
    found = space.folder.iterdir() if space.folder.exists() else iter(())
    if there := [path for path in found if path not in own and not path.name.startswith(".")]:
        raise InvalidDataError(f"{there[0]} is there already; join under another name")


def _samples(member: Workspace) -> list[Sample]:
    if not member.raw.is_dir():
        raw = f"data/{member.data}/raw"
        raise InvalidDataError(f"{raw} is missing; bring it in: dvc pull {raw}.dvc")
    samples = scan(member.raw)
    if broken := next((sample for sample in samples if sample.error), None):
        raise InvalidDataError(f"{member.raw}: {broken.image} {broken.error}")
    return samples


def _split(member: Workspace, samples: Sequence[Sample]) -> tuple[list[SplitRow], Lock]:
    """The rows of a set's images, renamed, and its lock; every image must have a row."""
    first = f"first: hgmnet init {member.data} && dvc repro split"
    if not (member.split_csv.exists() and member.split_json.exists()):
        raise InvalidDataError(f"{member.data} has no split yet; {first}")
    lock, rows = io.read_json(member.split_json, Lock), io.read_rows(member.split_csv, SplitRow)
    if not lock.entries or rows_sha256(rows) != lock.entries[-1].rows_sha256:
        raise InvalidDataError(
            f"{member.split_csv} is not the one that split.json locked; restore both from git"
        )
    images = {(s.label, stem_of(PurePosixPath(s.image))) for s in samples}
    own = {(row.label, row.name): row for row in rows}
    if new := sorted(images - own.keys()):
        count, one = len(new), "/".join(new[0])
        raise InvalidDataError(f"{count} images of {member.data} have no split, as {one}; {first}")
    kept = [row for key, row in own.items() if key in images]
    there = sum(row.status != "excluded" for row in kept)
    if there < lock.entries[-1].images:
        raw = f"data/{member.data}/raw"
        raise InvalidDataError(
            f"{raw} has {there} of the {lock.entries[-1].images} images of its split; restore it: "
            f"dvc checkout {raw}.dvc; if they are gone for good, {first}"
        )
    return [
        row.model_copy(
            update={"name": f"{member.data}_{row.name}", "group": _renamed(member, row.group)}
        )
        for row in kept
    ], lock


def _common(members: Sequence[Workspace], locks: Sequence[Lock]) -> Lock:
    for member, lock in zip(members, locks, strict=True):
        if (lock.seed, lock.fractions) != (locks[0].seed, locks[0].fractions):
            raise ConfigError(
                f"{member.split_json} has another seed or other fractions than the split of "
                f"{members[0].data}; a joint split has one of each"
            )
    return locks[0]


def _copied(member: Workspace, samples: Sequence[Sample], part: Path) -> Iterator[ImageMetadata]:
    known = metadata.read(member.raw, [sample.image for sample in samples])
    if any(SET in one.further for one in known.values()):
        raise ConfigError(
            f"{member.data} has a column {SET!r} in images.csv, as joint sets have; join its "
            "parts, or import it without that column"
        )
    for sample in samples:
        for file in (sample.image, *sample.masks):
            target = part / _renamed(member, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(member.raw / file, target)
        one = known.get(sample.image) or ImageMetadata(
            image=sample.image, patient="", pixel_mm=0.0, further={}
        )
        further = {SET: member.data} | one.further
        if clip := further.get(metadata.CLIP):
            further[metadata.CLIP] = f"{member.data}/{clip}"
        yield one.model_copy(
            update={
                "image": _renamed(member, sample.image),
                "source_name": f"{member.data}/{sample.image}",
                "patient": one.patient and f"{member.data}/{one.patient}",
                "further": further,
            }
        )


def _renamed(member: Workspace, image: str) -> str:
    path = PurePosixPath(image)
    return str(path.with_name(f"{member.data}_{path.name}"))


def _notes(member: Workspace, samples: Sequence[Sample]) -> Iterator[Note]:
    for note in metadata.read_notes(member.curation, [sample.image for sample in samples]):
        group = note.group and f"{member.data}/{note.group}"
        yield note.model_copy(update={"image": _renamed(member, note.image), "group": group})
