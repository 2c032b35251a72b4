"""Images that are alike though their pixels differ: near copies, and frames of one scene.

Shared text, scales and pictograms make points agree between images of different patients; hence a
pair is believed only where the tissue agrees too, once one image lies on the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hgmnet.splitting import alignment, candidates, features
from hgmnet.splitting.alignment import Alignment
from hgmnet.splitting.candidates import Index
from hgmnet.splitting.features import Features
from hgmnet.splitting.pairs import Pair

COPY = 0.95
"""Agreement from which two images are one frame; frames in a row of BUSI reach 0.94."""

SCENE = 0.3
"""Agreement from which two images show the same tissue; strangers that share text reach 0.25."""

_NEAREST = 12  # candidates an image; with 28 there was no pair more in BUSI
_NEAREST_MIRRORED = 3  # only copies are mirrored, and they share most of their words


_Key = tuple[str, str, bool]

Tried = dict[_Key, Alignment | None]
"""What came of aligning, by the keys of both images, and whether the second was mirrored."""


@dataclass(frozen=True)
class Search:
    """What a search found, sorted by first and second, and what it tried to find it."""

    pairs: tuple[Pair, ...]
    tried: Tried


def search(images: Mapping[str, Features], before: Tried) -> Search:
    """Pair near copies and frames of one scene, mirrored ones included.

    Args:
        images: the features by image.
        before: what an earlier search has tried, and is not tried again.

    Returns:
        Pairs sorted by first and second; the same whatever the order of `images`.
    """
    names = sorted(images)
    if not names:
        return Search((), {})
    known = [images[name] for name in names]
    turned = [features.mirrored(one) for one in known]
    tried: Tried = {}
    found: dict[Index, list[tuple[Alignment, str]]] = {}
    for queries, mirror, nearest in ((known, False, _NEAREST), (turned, True, _NEAREST_MIRRORED)):
        worth = sorted(candidates.find_candidates(known, queries, nearest))
        keys = {at: (known[at[0]].key, known[at[1]].key, mirror) for at in worth}
        new = {at: key for at, key in keys.items() if key not in before}
        aligned = before | _align(known, queries, new)
        tried |= {key: aligned[key] for key in keys.values()}
        for at, key in keys.items():
            if (one := aligned[key]) and one.agreement >= SCENE:
                found.setdefault(at, []).append((one, ", mirrored" if mirror else ""))
    pairs = (_pair(names, known, at, found[at]) for at in sorted(found))
    return Search(tuple(pairs), tried)


def _align(
    known: Sequence[Features], queries: Sequence[Features], new: Mapping[Index, _Key]
) -> Tried:
    """Align these pairs, one after another: each uses all cores in its matrix product already."""
    return {key: alignment.align(known[one], queries[other]) for (one, other), key in new.items()}


def _pair(
    names: Sequence[str],
    known: Sequence[Features],
    at: Index,
    ways: Sequence[tuple[Alignment, str]],
) -> Pair:
    """The evidence that agrees the most."""
    one, other = at
    best, suffix = max(ways, key=lambda way: way[0].agreement)
    return Pair(
        first=names[one],
        second=names[other],
        kind="copy" if best.agreement >= COPY else "scene",
        score=best.points,
        agreement=round(best.agreement, 3),
        transform=best.describe(known[one], known[other]) + suffix,
    )
