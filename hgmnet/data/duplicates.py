"""Which images are alike, and the groups that follow: pairs are evidence, groups their closure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal

from hgmnet.config import Frozen
from hgmnet.data.manifest import Record


class Pair(Frozen):
    """Two images that must stay on one side of every split.

    `first` < `second` as paths. `kind`: copies of one image, or frames of one scene. `score`: how
    alike they are, 0-1. `transform`: what brings the first onto the second (`identity`), or
    `curation` where a person said so.
    """

    first: str
    second: str
    kind: Literal["copy", "scene"]
    score: float
    transform: str


def find_copies(records: Sequence[Record]) -> list[Pair]:
    """Pair the images of the same pixels; unreadable ones are like nothing."""
    readable = {r.image: r.pixel_sha256 for r in records if r.pixel_sha256}
    return _alike(readable, "copy", "identity")


def curated(groups: Mapping[str, str]) -> list[Pair]:
    """Pair the images to which a person gave the same group name.

    Args:
        groups: the group's name by image.
    """
    return _alike(groups, "scene", "curation")


def group(images: Iterable[str], pairs: Iterable[Pair]) -> dict[str, str]:
    """Close pairs transitively.

    Args:
        images: what to group, in any order.
        pairs: in any order; one that names another image is passed over.

    Returns:
        The group of each image, called after its first member by name.
    """
    parent = {image: image for image in images}
    for pair in pairs:
        if pair.first in parent and pair.second in parent:
            low, high = sorted((_root(parent, pair.first), _root(parent, pair.second)))
            parent[high] = low
    return {image: _root(parent, image) for image in parent}


def conflicts(records: Iterable[Record]) -> set[str]:
    """Find images whose copies bear another label; what curation excluded contradicts nobody."""
    labels: dict[str, set[str]] = {}
    counted = [r for r in records if r.pixel_sha256 and not r.excluded]
    for record in counted:
        labels.setdefault(record.pixel_sha256, set()).add(record.label)
    return {record.image for record in counted if len(labels[record.pixel_sha256]) > 1}


def _alike(keys: Mapping[str, str], kind: Literal["copy", "scene"], transform: str) -> list[Pair]:
    """Every pair of one key: a chain would come apart where a link of it is excluded."""
    members: dict[str, list[str]] = {}
    for image in sorted(keys):
        members.setdefault(keys[image], []).append(image)
    return [
        Pair(first=first, second=second, kind=kind, score=1.0, transform=transform)
        for images in members.values()
        for first, second in combinations(images, 2)
    ]


def _root(parent: dict[str, str], image: str) -> str:
    while parent[image] != image:
        parent[image] = parent[parent[image]]
        image = parent[image]
    return image
