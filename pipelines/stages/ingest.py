"""Stage ingest: write manifest.csv, near-duplicates to pairs.csv, and groups.csv."""

from collections import Counter
from functools import partial
from pathlib import Path

from hgmnet.config import data
from hgmnet.data import images, manifest, metadata
from hgmnet.data.image_record import Grouped, ImageRecord
from hgmnet.splitting import near_duplicates
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from pipelines.artifacts import io
from pipelines.artifacts.paths import Workspace
from pipelines.validation.near_duplicate_cache import LikenessCache


def run(root: Path, data: data.Data) -> None:
    """Read raw/ and curation.csv, write manifest.csv, pairs.csv and groups.csv.

    Raises:
        InvalidDataError: there are no images, or curation.csv or images.csv is invalid.
    """
    space = Workspace(root, data.name)
    records = manifest.build(space.raw)
    names = [record.image for record in records]
    notes = {note.image: note for note in metadata.read_notes(space.curation, names)}
    named = {note.image: note.group for note in notes.values() if note.group}
    found = _find_likeness(space, records)
    alike = duplicates.copy_to_identical_images(found, records)
    seen = [*duplicates.find_copies(records), *duplicates.apply_curated_groups(alike, named)]
    clips = {
        i: t[metadata.CLIP] for i, t in metadata.words(space.raw).items() if t.get(metadata.CLIP)
    }
    stated = [
        *duplicates.chained(named, "curation"),
        *duplicates.of_one_patient(records),
        *duplicates.chained(clips, "clip"),
    ]
    pairs = [*seen, *stated]
    groups = duplicates.group((record.image for record in records), pairs)
    excluded = {note.image: note.reason for note in notes.values() if note.exclude}
    curated = [
        r.model_copy(update={"group": groups[r.image], "excluded": excluded.get(r.image, "")})
        for r in records
    ]
    io.write_rows(space.manifest, ImageRecord, curated)
    io.write_rows(space.pairs, Pair, pairs)
    grouped = [
        Grouped.model_validate(r.model_dump(include={*Grouped.model_fields})) for r in curated
    ]
    io.write_rows(space.groups, Grouped, grouped)
    kinds = Counter(pair.kind for pair in seen)
    print(f"{kinds['copy']} pairs of copies, {kinds['scene']} of frames of one scene")
    print(f"{len(stated)} links between images of one patient, or of one group in curation.csv")
    print(f"{len(records)} images in {len(set(groups.values()))} groups, {len(excluded)} excluded")


def _find_likeness(space: Workspace, records: list[ImageRecord]) -> tuple[Pair, ...]:
    """Find near-duplicates among the readable images; of identical ones only the first is used."""
    firsts = {r.pixel_sha256: r.image for r in reversed(records) if r.pixel_sha256}
    cache = LikenessCache(space.state / "likeness" / space.data)
    read = {pixels: partial(images.read_grey, space.raw, image) for pixels, image in firsts.items()}
    described = {firsts[pixels]: found for pixels, found in cache.describe(read).items()}
    search = near_duplicates.search(described, cache.tried())
    cache.keep(search.tried)
    return search.pairs
