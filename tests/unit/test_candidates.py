import numpy as np

from hgmnet.splitting import candidates
from hgmnet.splitting.features import Features


def image(seed, descriptors=60):
    rng = np.random.default_rng(seed)
    raw = rng.random((descriptors, 128)) ** 4
    unit = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
    return Features(
        thumbnail=np.zeros((4, 4), np.uint8),
        scale=1.0,
        points=np.zeros((descriptors, 2), np.float32),
        descriptors=unit.astype(np.float16),
        hashed=rng.integers(0, 256, 8, dtype=np.uint8),
        key=str(seed),
    )


def test_the_nearest_share_words():
    images = [image(seed) for seed in range(40)]
    found = candidates.find_candidates(images, [*images[1:], images[0]], nearest=3)
    shared = {(min(pair), max(pair)) for pair in ((i, (i - 1) % 40) for i in range(40))}
    assert shared <= found
    assert all(first < second for first, second in found)


def test_the_number_of_candidates_does_not_grow_with_the_square():
    images = [image(seed, 20) for seed in range(300)]
    found = candidates.find_candidates(images, images, nearest=5)
    assert len(found) <= 300 * 6


def test_images_without_points_are_found_by_hash():
    images = [image(seed, 0) for seed in (1, 2, 1)]
    assert candidates.find_candidates(images, images, nearest=5) == {(0, 2)}


def test_near_hashes_are_those_that_differ_in_seven_bits():
    rng = np.random.default_rng(0)
    known = rng.integers(0, 256, (400, 8), dtype=np.uint8)
    known[200:] = known[:200]
    for place in range(200, 400):  # from 1 to 10 bits differ
        bits = np.unpackbits(known[place])
        bits[rng.choice(64, 1 + place % 10, replace=False)] ^= 1
        known[place] = np.packbits(bits)
    apart = np.bitwise_count(known[:, None] ^ known[None]).sum(axis=2)
    expected = {(int(i), int(j)) for i, j in zip(*np.nonzero(apart <= 7), strict=True)}
    assert set(candidates.near_hashes(known, known)) == expected
    assert len(expected) > 400 + 2 * 130
