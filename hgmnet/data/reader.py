"""The one reader of image files of every format, upright and in their true greys."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hgmnet.data import dicom, images
from hgmnet.data.images import DecodedFile, Grey, ImageFile
from hgmnet.data.limits import MAX_PIXELS
from hgmnet.errors import InvalidDataError


def open_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Open PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM, detected by its bytes.

    `name`: used in errors. `max_pixels`: largest number of pixels of a frame.

    Raises:
        InvalidDataError: the format is another, or the file is damaged or too large.
        ConfigError: the file is DICOM, and pydicom is not installed.
    """
    kind = dicom.DicomFile if dicom.is_dicom(data) else images.RasterFile
    return kind(data, name, max_pixels)


def decode_file(
    data: bytes, name: str, max_pixels: int = MAX_PIXELS, bits: int = 0, frame: int = 0
) -> DecodedFile:
    """Decode one frame of a file; `bits`: as in `ImageFile.decode`; otherwise as `open_image`.

    `frame`: its number, from 1; 0 for the only one.

    Raises:
        InvalidDataError: also if there is no such frame, or, for 0, if there are several.
        UnknownDepthError: the depth of its greys is unknown.
    """
    return frame_of(open_image(data, name, max_pixels), frame, bits)


def frame_of(file: ImageFile, frame: int, bits: int = 0) -> DecodedFile:
    """Decode one frame of an opened file; otherwise as `decode_file`."""
    if not frame:
        return file.only(bits)
    if frame > len(file):
        msg = f"{file.name} has no frame {frame}; give a number from 1 to {len(file)}"
        raise InvalidDataError(msg)
    return file.decode(frame - 1, bits)


def frames_of(file: ImageFile, bits: int = 0) -> Iterator[DecodedFile]:
    """Decode the frames of an opened file one by one; `bits`: as in `ImageFile.decode`.

    Raises:
        InvalidDataError: a frame is damaged or too large.
        UnknownDepthError: the depth of its greys is unknown.
    """
    return (file.decode(frame, bits) for frame in range(len(file)))


ImageInput = str | PathLike[str] | bytes | NDArray[np.uint8]
"""An image: its file's path or bytes, or its pixels, (H, W) or (H, W, 3) uint8."""


def read_image(image: ImageInput, name: str = "image") -> DecodedFile:
    """Decode an image from a path, bytes or pixels; otherwise as `decode_file`.

    Raises:
        InvalidDataError: also if a path can't be read, or an array has another shape or dtype.
    """
    if isinstance(image, bytes):
        return decode_file(image, name)
    if isinstance(image, np.ndarray):
        grey = image.ndim == 2
        if image.dtype != np.uint8 or image.size == 0 or not (grey or image.shape[2:] == (3,)):
            raise InvalidDataError(
                f"{name}: expected pixels (H, W) or (H, W, 3) uint8, got {image.shape} "
                f"{image.dtype}; scale them to 0-255 and convert: image.astype(np.uint8)"
            )
        return DecodedFile(images.from_grey(image) if grey else image, 0.0)
    path = Path(image)
    try:
        return decode_file(images.read_file(path), path.name)
    except OSError as error:
        raise InvalidDataError(f"{path} can't be read: {error.strerror}") from None


def read_grey(image: ImageInput, name: str = "image") -> Grey:
    """Read an image with `read_image` as grey (H, W) uint8; such an array is not copied."""
    if isinstance(image, np.ndarray) and image.ndim == 2 and image.dtype == np.uint8 and image.size:
        return image
    return read_image(image, name).grey
