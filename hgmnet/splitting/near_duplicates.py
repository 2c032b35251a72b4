"""Find near-duplicates with different pixels: near copies, and frames of one scene.

Common text, scales and pictograms make points agree between images of different patients. So a
pair is accepted only if the tissue agrees too, with one image aligned to the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hgmnet.data.images import Grey
from hgmnet.data.progress import progress
from hgmnet.splitting import alignment, candidates, features
from hgmnet.splitting.alignment import Alignment
from hgmnet.splitting.candidates import Index
from hgmnet.splitting.features import Features
from hgmnet.splitting.pairs import Pair, group

COPY = 0.95  # minimum agreement of copies of a frame; successive frames in BUSI reach 0.94
SCENE = 0.3  # of frames of one scene; unrelated images with common text reach 0.25
_NEAREST = 12  # candidates per image; 28 found no more pairs in BUSI
_NEAREST_MIRRORED = 3  # only copies are mirrored, and they have most words in common

_Key = tuple[str, str, bool]
Tried = dict[_Key, Alignment | None]
"""Results of alignments, by the keys of both images and whether the second was mirrored."""


@dataclass(frozen=True)
class Search:
    """The pairs that a search found, sorted by first and second, and every alignment it tried."""

    pairs: tuple[Pair, ...]
    tried: Tried


def group_near_duplicates(images: Sequence[Grey], pixels: Sequence[str]) -> list[str]:
    """Return the group of each image, (H, W) uint8: near copies and frames of one scene.

    `pixels`: each image's pixel hash; a group is named by one of them.
    """
    known = {sha: features.describe(grey) for sha, grey in zip(pixels, images, strict=True)}
    named = group(known, search(known, {}).pairs)
    return [named[sha] for sha in pixels]


def search(images: Mapping[str, Features], before: Tried) -> Search:
    """Find pairs of near copies and frames of one scene, including mirrored ones.

    `before`: the alignments of earlier searches, which are reused. The pairs do not depend on the
    order of `images`.
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
        # One after another: each uses all cores in its matrix product already.
        shown = progress(new.items(), "comparing pairs of images")
        aligned = before | {k: alignment.align(known[a], queries[b]) for (a, b), k in shown}
        tried |= {key: aligned[key] for key in keys.values()}
        for at, key in keys.items():
            if (one := aligned[key]) and one.agreement >= SCENE:
                found.setdefault(at, []).append((one, ", mirrored" if mirror else ""))
    pairs = (_pair(names, known, at, found[at]) for at in sorted(found))
    return Search(tuple(pairs), tried)


def _pair(
    names: Sequence[str],
    known: Sequence[Features],
    at: Index,
    ways: Sequence[tuple[Alignment, str]],
) -> Pair:
    """Return the pair with the strongest evidence."""
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
