"""Find pairs of images worth comparing: those with common visual words, or nearly equal hashes.

Comparing all pairs grows with n², so an inverted index is used. Each descriptor gives a few
words: the signs of random projections that are equal for every data set. Images with many common
rare words are candidates. Words in many images distinguish nothing and are ignored, which bounds
the cost of a look-up.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hgmnet.splitting.features import Features

_TABLES, _BITS = 16, 18  # words per descriptor, and signs per word
_COMMON = 50  # a word in more images than this is ignored
_BLOCK = 256  # images per look-up
_HASH_BITS = 7  # of 64
_CROWD = 2048

Index = tuple[int, int]
Hashes = NDArray[np.uint8]


def find_candidates(
    known: Sequence[Features], queries: Sequence[Features], nearest: int
) -> set[Index]:
    """Pair known images with the queries that may be near-duplicates of them.

    `queries` are the same images in the same order, possibly mirrored. Each image has at most
    `nearest` candidates, those with the most words in common.

    Returns:
        Pairs of indices (known image, query), each once and with the smaller index first, so that
        the query is always the later one; independent of the order of the images.
    """
    by_words = _by_words(_words(known), _words(queries), nearest)
    hashes = (np.stack([one.hashed for one in images]) for images in (known, queries))
    by_hash = near_hashes(*hashes)
    return {(min(pair), max(pair)) for pair in (*by_words, *by_hash) if pair[0] != pair[1]}


def near_hashes(known: Hashes, queries: Hashes) -> Iterator[Index]:
    """Pair hashes, (n, 8) uint8, that differ in at most 7 of 64 bits; so one byte is equal.

    A byte value that more than `_CROWD` queries have at one position is ignored.
    """
    if not len(known) or not len(queries):
        return
    orders = np.argsort(queries, axis=0, kind="stable")
    ordered = np.take_along_axis(queries, orders, axis=0)
    wide = queries.view(np.uint64).ravel()
    bounds = [
        [np.searchsorted(ordered[:, byte], known[:, byte], side) for side in ("left", "right")]
        for byte in range(8)
    ]
    for place, hashed in enumerate(known.view(np.uint64).ravel()):
        spans = [(low[place], high[place]) for low, high in bounds]
        alike = [
            orders[low:high, byte] for byte, (low, high) in enumerate(spans) if high - low <= _CROWD
        ]
        others = np.unique(np.concatenate([orders[:0, 0], *alike]))
        apart = np.bitwise_count(wide[others] ^ hashed)
        yield from ((place, int(other)) for other in others[apart <= _HASH_BITS])


def _words(images: Sequence[Features]) -> sparse.csr_array:
    """Visual words of each image: (n, words), a matrix of ones."""
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((128, _TABLES * _BITS), dtype=np.float32)
    rows = [_codes(image.descriptors.astype(np.float32), planes) for image in images]
    starts = np.cumsum([0, *map(len, rows)])
    ones = np.ones(starts[-1], np.float32)
    shape = (len(images), _TABLES << _BITS)
    return sparse.csr_array((ones, np.concatenate(rows), starts), shape=shape)


def _codes(descriptors: NDArray[np.float32], planes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Words of one image, (m,); descriptors are centred so that every sign is most informative."""
    if not len(descriptors):
        return np.zeros(0, np.int64)
    signs = (descriptors - descriptors.mean(axis=0)) @ planes > 0
    bits = signs.reshape(len(descriptors), _TABLES, _BITS).astype(np.float32)
    codes = (bits @ np.exp2(np.arange(_BITS, dtype=np.float32))).astype(np.int64)
    return np.unique(codes + (np.arange(_TABLES) << _BITS))


def _by_words(known: sparse.csr_array, queries: sparse.csr_array, nearest: int) -> Iterator[Index]:
    """Pair each image with its nearest; a common word counts more if fewer images have it."""
    count = known.shape[0]
    images = np.bincount(known.indices, minlength=known.shape[1])
    telling = (images > 0) & (images <= _COMMON)
    weights = np.where(telling, np.log((count + 1) / np.maximum(images, 1)), 0)
    index = (queries @ sparse.diags_array(weights.astype(np.float32))).T.tocsr()
    for start in range(0, count, _BLOCK):
        shared = (known[start : start + _BLOCK] @ index).tocsr()
        for row in range(shared.shape[0]):
            span = slice(shared.indptr[row], shared.indptr[row + 1])
            places, weight = shared.indices[span], shared.data[span]
            for place in places[np.lexsort((places, -weight))[: nearest + 1]]:
                yield start + row, int(place)
