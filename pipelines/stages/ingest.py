"""Stage ingest: every image into the manifest, every likeness into pairs.csv."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hgmnet import config
from hgmnet.data import curation, duplicates, features, images, likeness, manifest
from hgmnet.data.duplicates import Pair
from hgmnet.data.features import Features
from hgmnet.data.manifest import Record
from hgmnet.errors import InvalidDataError
from pipelines import artifacts


def run(root: Path, data: config.Data) -> None:
    """Read raw/ and curation.csv, write manifest.csv and pairs.csv.

    Raises:
        InvalidDataError: there are no images, or curation.csv is not what it must be.
    """
    space = artifacts.Workspace(root, data.name)
    records = manifest.build(space.raw)
    notes = {note.image: note for note in _read_notes(space.curation, records)}
    named = {note.image: note.group for note in notes.values() if note.group}
    found = likeness.find_likeness(_describe(space.raw, records))
    alike = duplicates.extend_to_twins(found, records)
    pairs = [*duplicates.find_copies(records), *alike, *duplicates.curated(named)]
    groups = duplicates.group((record.image for record in records), pairs)
    excluded = {note.image: note.reason for note in notes.values() if note.exclude}
    curated = [
        r.model_copy(update={"group": groups[r.image], "excluded": excluded.get(r.image, "")})
        for r in records
    ]
    artifacts.write_rows(space.manifest, Record, curated)
    artifacts.write_rows(space.pairs, Pair, pairs)
    kinds = Counter(pair.kind for pair in pairs)
    print(f"{kinds['copy']} pairs of copies, {kinds['scene']} of frames of one scene")
    print(f"{len(records)} images in {len(set(groups.values()))} groups, {len(excluded)} excluded")


def _read_notes(path: Path, records: list[Record]) -> list[curation.Note]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        msg = f"{path} is missing; an empty one has the line {curation.HEADER.strip()}"
        raise InvalidDataError(msg) from None
    except UnicodeDecodeError:
        msg = f"{path} is not UTF-8; save it as CSV UTF-8"
        raise InvalidDataError(msg) from None
    return curation.parse(text, str(path), (record.image for record in records))


def _describe(raw: Path, records: list[Record]) -> dict[str, Features]:
    """The features of every readable image, of those with the same pixels the first's."""
    firsts = {r.pixel_sha256: r.image for r in reversed(records) if r.pixel_sha256}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda image: features.describe(_read(raw, image)), firsts.values())
        return dict(zip(firsts.values(), found, strict=True))


def _read(raw: Path, image: str) -> images.Grey:
    return images.decode_grey((raw / image).read_bytes(), image)
