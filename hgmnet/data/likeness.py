"""Images that are alike though their pixels differ: near copies, and frames of one scene.

Shared text, scales and pictograms make points agree between images of different patients; hence a
pair is believed only where the tissue agrees too, once one image lies on the other.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from hgmnet.data import alignment, candidates, features
from hgmnet.data.alignment import Alignment
from hgmnet.data.candidates import Index
from hgmnet.data.duplicates import Pair
from hgmnet.data.features import Features

COPY = 0.95
"""Agreement from which two images are one frame; frames in a row of BUSI reach 0.94."""

SCENE = 0.3
"""Agreement from which two images show the same tissue; strangers that share text reach 0.25."""

_NEAREST = 12  # candidates an image; with 28 there was no pair more in BUSI
_NEAREST_MIRRORED = 3  # only copies are mirrored, and they share most of their words


def find_likeness(images: Mapping[str, Features]) -> list[Pair]:
    """Pair near copies and frames of one scene, mirrored ones included.

    Args:
        images: the features by image.

    Returns:
        Pairs sorted by first and second; the same whatever the order of `images`.
    """
    names = sorted(images)
    if not names:
        return []
    known = [images[name] for name in names]
    turned = [features.mirrored(one) for one in known]
    plain = _align(known, known, candidates.find_candidates(known, known, _NEAREST))
    flipped = _align(known, turned, candidates.find_candidates(known, turned, _NEAREST_MIRRORED))
    pairs = []
    for one, other in sorted(plain.keys() | flipped.keys()):
        ways = [
            (way[one, other], words)
            for way, words in ((plain, ""), (flipped, ", mirrored"))
            if (one, other) in way
        ]
        best, suffix = max(ways, key=lambda way: way[0].agreement)
        pairs.append(
            Pair(
                first=names[one],
                second=names[other],
                kind="copy" if best.agreement >= COPY else "scene",
                score=best.points,
                transform=best.describe(known[one], known[other]) + suffix,
            )
        )
    return pairs


def _align(
    known: Sequence[Features], queries: Sequence[Features], worth: Iterable[Index]
) -> dict[Index, Alignment]:
    """Those of the pairs that are worth it on whose tissue both agree."""
    ordered = sorted(worth)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        aligned = pool.map(lambda at: alignment.align(known[at[0]], queries[at[1]]), ordered)
        pairs = list(zip(ordered, aligned, strict=True))
    return {at: found for at, found in pairs if found and found.agreement >= SCENE}
