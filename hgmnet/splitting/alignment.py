"""Align one image with another: matching points, their similarity transform, its agreement."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hgmnet.data.images import Grey
from hgmnet.splitting.features import Features, Points

POINTS = 6  # fewer agreeing points are ignored; chance and shared text can produce as many
_RATIO = 0.8  # Lowe's ratio of the best match's distance to the second best's
_TOLERANCE = 4.0  # thumbnail px between a point's expected and its actual position
_SCALES = (0.5, 2.0)
_TURN = 15.0  # degrees
_BLOCK = 16  # thumbnail px: a few speckles wide
_FLAT = 2.0  # grey levels: a block that varies less has no texture
_BLOCKS = 40  # about an eighth of an image

Similarity = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """The transform from one thumbnail to another.

    `matrix`: (2, 3), from pixels of the first to pixels of the second. `points`: number of inliers.
    `agreement`: the correlation of both in blocks of the overlap, median over blocks, -1 to 1;
    overlays change few blocks, gain and gamma hardly any.
    """

    matrix: Similarity
    points: int
    agreement: float

    def describe(self, first: Features, second: Features) -> str:
        """Format the transform, in pixels of the images: `scale 0.82, rotation 1°, shift 3,4 px`.

        A positive rotation is clockwise. The shift is from the second's centre to the first's
        transformed centre.
        """
        scale, turn = _scale_turn(self.matrix)
        height, width = first.thumbnail.shape
        centre = self.matrix @ ((width - 1) / 2, (height - 1) / 2, 1)
        height, width = second.thumbnail.shape
        shift = (centre - ((width - 1) / 2, (height - 1) / 2)) / second.scale
        words = f"scale {scale * first.scale / second.scale:.2f}, rotation {turn:.0f}°, "
        return words.replace("-0°", "0°") + f"shift {round(shift[0])},{round(shift[1])} px"


def align(first: Features, second: Features) -> Alignment | None:
    """Find the similarity transform with the most inliers; None if it may be chance.

    Deterministic: OpenCV's RANSAC starts with the same seed at every call.
    """
    here, there = _match(first, second)
    if len(here) < POINTS:
        return None
    fitted, agree = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=500
    )
    if fitted is None or agree.sum() < POINTS:
        return None
    matrix = np.asarray(fitted, np.float64)
    scale, turn = _scale_turn(matrix)
    if not _SCALES[0] < scale < _SCALES[1] or abs(turn) > _TURN:
        return None
    agreement = _agreement(first.thumbnail, second.thumbnail, matrix)
    return Alignment(matrix, int(agree.sum()), agreement)


def _match(first: Features, second: Features) -> tuple[Points, Points]:
    """Return the points that are each other's best match by a clear margin."""
    if min(len(first.points), len(second.points)) < POINTS:
        return first.points[:0], second.points[:0]
    likeness = first.descriptors.astype(np.float32) @ second.descriptors.astype(np.float32).T
    rows = np.arange(len(likeness))
    best = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[best] == rows
    top = likeness[rows, best]
    likeness[rows, best] = -1
    matched = mutual & (1 - top < _RATIO**2 * (1 - likeness.max(axis=1)))
    return first.points[matched], second.points[best[matched]]


def _scale_turn(matrix: Similarity) -> tuple[float, float]:
    return float(np.hypot(*matrix[:, 0])), float(np.degrees(np.arctan2(*matrix[::-1, 0])))


def _agreement(first: Grey, second: Grey, matrix: Similarity) -> float:
    """Return the median correlation of blocks, -1 if the overlap has too little texture."""
    height, width = second.shape
    warped = cv2.warpAffine(first, matrix, (width, height))
    inside = cv2.warpAffine(np.ones_like(first), matrix, (width, height))
    a, b = (_blocks(cv2.GaussianBlur(x.astype(np.float32), (0, 0), 1)) for x in (warped, second))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    deviation_a, deviation_b = a.std(axis=1), b.std(axis=1)
    seen = _blocks(inside).all(axis=1) & (np.minimum(deviation_a, deviation_b) > _FLAT)
    if seen.sum() < _BLOCKS:
        return -1.0
    correlation = (a * b).mean(axis=1)[seen] / (deviation_a * deviation_b)[seen]
    return float(np.median(correlation))


def _blocks(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Cut (h, w) into (blocks, pixels), without incomplete blocks."""
    rows, columns = (side // _BLOCK for side in image.shape)
    whole = image[: rows * _BLOCK, : columns * _BLOCK]
    parts = whole.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    return parts.reshape(rows * columns, _BLOCK * _BLOCK)
