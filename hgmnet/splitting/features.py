"""Features of an image: keypoints with RootSIFT descriptors, a hash and a thumbnail.

SIFT after Lowe (IJCV 2004), RootSIFT after Arandjelović and Zisserman (CVPR 2012). The descriptors
are upright: ultrasound images are not rotated, and keypoints without an orientation are easier to
distinguish.
"""

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hgmnet.data.images import Grey

SIDE = 320  # px: the longer edge of the thumbnail
POINTS = 400
_CONTRAST = 0.02  # half of OpenCV's default: the deep half of an image is dark
_HASH = (9, 8)

Points = NDArray[np.float32]
Hash = NDArray[np.uint8]

_MIRRORED = np.arange(128).reshape(4, 4, 8)[:, ::-1][:, :, (4 - np.arange(8)) % 8].ravel()
"""Source index of each descriptor entry (row, column, direction) in the mirrored image."""


@dataclass(frozen=True)
class Features:
    """The features of one image; points are in pixels of the thumbnail.

    `thumbnail`: (h, w) uint8, longer edge `SIDE`. `scale`: thumbnail pixels per pixel of the image.
    `points`: (n, 2) float32, x and y. `descriptors`: (n, 128) float16 of length 1. `hashed`: the 64
    bits of the difference hash as (8,) uint8. `key`: the sha256 of the thumbnail's pixels, before
    any mirroring; it identifies the image in later searches.
    """

    thumbnail: Grey
    scale: float
    points: Points
    descriptors: NDArray[np.float16]
    hashed: Hash
    key: str


def describe(grey: Grey) -> Features:
    """Compute an image's features; they depend only on its pixels, (H, W) uint8."""
    scale = SIDE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    how = cv2.INTER_AREA if size[0] < grey.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(grey), size, interpolation=how)
    thumbnail = np.asarray(small, np.uint8)
    points, descriptors = _sift(thumbnail)
    key = hashlib.sha256(f"{scale} {thumbnail.shape} ".encode() + thumbnail.tobytes()).hexdigest()
    return Features(thumbnail, scale, points, descriptors.astype(np.float16), _hash(thumbnail), key)


def mirrored(features: Features) -> Features:
    """Derive the features of the mirrored image, without computing them again."""
    points = features.points.copy()
    points[:, 0] = features.thumbnail.shape[1] - 1 - points[:, 0]
    turned = np.ascontiguousarray(features.thumbnail[:, ::-1])
    words = features.descriptors[:, _MIRRORED]
    return replace(
        features, thumbnail=turned, points=points, descriptors=words, hashed=_hash(turned)
    )


def _sift(thumbnail: Grey) -> tuple[Points, NDArray[np.float32]]:
    """Strongest keypoints, one per place and size, upright, with their RootSIFT descriptors."""
    sift = cv2.SIFT.create(nfeatures=POINTS * 5 // 4, contrastThreshold=_CONTRAST)
    unique: dict[object, cv2.KeyPoint] = {}
    for point in sorted(sift.detect(thumbnail, None), key=lambda p: (-p.response, p.pt, p.size)):
        point.angle = 0
        unique.setdefault((point.pt, point.size), point)
    if not unique:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    found, raw = sift.compute(thumbnail, list(unique.values())[:POINTS])
    root = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-9))
    return np.array([point.pt for point in found], np.float32), root.astype(np.float32)


def _hash(thumbnail: Grey) -> Hash:
    small = cv2.resize(thumbnail, _HASH, interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1])
