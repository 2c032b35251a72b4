"""Pairs of near-duplicates as evidence, and groups as their transitive closure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise
from typing import Any, Literal, get_args

from scipy.cluster.hierarchy import DisjointSet

from hgmnet.config.base import Frozen
from hgmnet.data.image_record import ImageRecord

Stated = Literal["curation", "patient", "clip"]
CHAINED: tuple[Stated, ...] = get_args(Stated)
"""Transforms of pairs that somebody stated: the images of each patient or group are a chain."""


class Pair(Frozen):
    """Two images that must stay in one split.

    `first` < `second` as paths. `kind`: copies of one image, or frames of one scene. `score`:
    number of inliers, 0 if not counted. `agreement`: correlation of the aligned tissue, -1 to 1; 1
    for equal pixels, 0 if not measured. `transform`: from the first to the second, in words;
    `identity` for equal pixels, `curation` for an entry in curation.csv, `patient` or `clip` if the
    source names one patient, or one file of several frames, for both; of these each image is paired
    with the next alone.
    """

    first: str
    second: str
    kind: Literal["copy", "scene"]
    score: int
    agreement: float
    transform: str


@dataclass(frozen=True)
class Conflict:
    """Copies with contradictory labels.

    `labels`: by image, sorted, without images that curation excludes. `pairs`: all pairs of copies
    in the group, sorted; they may name an excluded image that links others.
    """

    labels: Mapping[str, str]
    pairs: tuple[Pair, ...]


def find_copies(records: Sequence[ImageRecord]) -> list[Pair]:
    """Pair the readable images with equal pixels."""
    readable = {r.image: r.pixel_sha256 for r in records if r.pixel_sha256}
    links = (link for images in _alike(readable) for link in combinations(images, 2))
    return [_unmeasured(*link, "copy", 1.0, "identity") for link in links]


def copy_to_identical_images(pairs: Iterable[Pair], records: Sequence[ImageRecord]) -> list[Pair]:
    """Copy each pair to every image with identical pixels.

    `pairs` are between the first images of each set of identical pixels, in any order.
    """
    pixels = {record.image: record.pixel_sha256 for record in records}
    twins = {pixels[images[0]]: images for images in _alike(pixels)}
    return [
        _between(pair, one, other)
        for pair in pairs
        for one in twins[pixels[pair.first]]
        for other in twins[pixels[pair.second]]
    ]


def chained(keys: Mapping[str, str], transform: Stated) -> list[Pair]:
    """Chain the images of each key, such as a patient, each with the next in order of names.

    `keys`: by image, the group in curation.csv, the patient, or the file of several frames.
    """
    links = (link for images in _alike(keys) for link in pairwise(images))
    return [_unmeasured(*link, "scene", 0.0, transform) for link in links]


def apply_curated_groups(pairs: Iterable[Pair], groups: Mapping[str, str]) -> list[Pair]:
    """Drop scene pairs whose images have different groups in curation.csv; copies stay."""

    def parted(pair: Pair) -> bool:
        one, other = groups.get(pair.first, ""), groups.get(pair.second, "")
        return pair.kind == "scene" and bool(one and other) and one != other

    return [pair for pair in pairs if not parted(pair)]


def of_one_patient(records: Iterable[ImageRecord]) -> list[Pair]:
    """Chain the images of each known patient."""
    return chained({r.image: r.patient for r in records if r.patient}, "patient")


def group(images: Iterable[str], pairs: Iterable[Pair]) -> dict[str, str]:
    """Close pairs transitively; a pair with an image not in `images` is ignored.

    The images of one patient, clip or group in curation.csv are a chain: an image not in `images`
    does not break it.

    Returns:
        The group of each image, named after its first member in order of names.
    """
    sets = DisjointSet(images)
    chains: dict[str, Any] = {transform: DisjointSet() for transform in CHAINED}
    for pair in pairs:
        if (links := chains.get(pair.transform)) is not None:
            links.add(pair.first)
            links.add(pair.second)
            links.merge(pair.first, pair.second)
        elif pair.first in sets and pair.second in sets:
            sets.merge(pair.first, pair.second)
    for members in chain.from_iterable(known.subsets() for known in chains.values()):
        for one, other in pairwise(member for member in members if member in sets):
            sets.merge(one, other)
    first = {image: min(members) for members in sets.subsets() for image in members}
    return {image: first[image] for image in sets}


def copy_labels(records: Iterable[ImageRecord], pairs: Iterable[Pair]) -> dict[str, set[str]]:
    """Find the labels of each image and all its copies; frames of one scene don't count.

    An image that curation excludes links its copies, but its label does not count and it is not in
    the result.
    """
    known = {record.image: record for record in records}
    frames = group(known, (pair for pair in pairs if pair.kind == "copy"))
    counted = [image for image, record in known.items() if not record.excluded]
    labels: dict[str, set[str]] = {}
    for image in counted:
        labels.setdefault(frames[image], set()).add(known[image].label)
    return {image: labels[frames[image]] for image in counted}


def conflicts(records: Iterable[ImageRecord], pairs: Iterable[Pair]) -> set[str]:
    """Find images whose copies have another label; images that curation excludes don't count."""
    return {image for conflict in find_conflicts(records, pairs) for image in conflict.labels}


def find_conflicts(records: Iterable[ImageRecord], pairs: Iterable[Pair]) -> list[Conflict]:
    """Find the groups of copies whose labels differ, and the linking pairs, sorted by image."""
    known = {record.image: record for record in records}
    copies = sorted((p for p in pairs if p.kind == "copy"), key=lambda p: (p.first, p.second))
    found = []
    for images in _alike(group(known, copies)):
        labels = {image: known[image].label for image in images if not known[image].excluded}
        if len(set(labels.values())) > 1:
            linking = tuple(pair for pair in copies if pair.first in images)
            found.append(Conflict(labels, linking))
    return found


def _between(pair: Pair, one: str, other: str) -> Pair:
    """Return the pair's evidence for identical twins of both images, whose order may differ."""
    if one < other:
        return pair.model_copy(update={"first": one, "second": other})
    transform = f"inverse of {pair.transform}"
    return pair.model_copy(update={"first": other, "second": one, "transform": transform})


def _unmeasured(
    first: str, second: str, kind: Literal["copy", "scene"], agreement: float, transform: str
) -> Pair:
    return Pair(
        first=first, second=second, kind=kind, score=0, agreement=agreement, transform=transform
    )


def _alike(keys: Mapping[str, str]) -> Iterable[list[str]]:
    """Return the images of each key, sorted."""
    members: dict[str, list[str]] = {}
    for image in sorted(keys):
        members.setdefault(keys[image], []).append(image)
    return members.values()
