"""Decode image files: PNG, JPEG, BMP, TIFF, and DICOM with its header.

Grey and colour images of one frame. No window is applied: the stored range becomes 0-255.
"""

import io
import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hgmnet.data import images
from hgmnet.errors import ConfigError, InvalidDataError

_MAGIC = slice(128, 132)
_CENTIMETRES = 3  # Physical Units X Direction, PS3.3 C.8.5.5.1.15
_TWO_DIMENSIONAL = 1  # Region Spatial Format, PS3.3 C.8.5.5.1.1


@dataclass(frozen=True)
class Scan:
    """An encoded image, its patient's id (empty if unknown), and its pixel spacing in mm (or 0)."""

    png: bytes
    patient: str
    pixel_mm: float


@dataclass(frozen=True)
class DecodedFile:
    """A decoded image.

    `rgb`: (H, W, 3) uint8. `pixel_mm`: pixel spacing in mm, 0 if unknown.
    """

    rgb: images.Rgb
    pixel_mm: float

    @cached_property
    def grey(self) -> images.Grey:
        """The image as the network's input before resizing, (H, W) uint8."""
        return images.to_grey(self.rgb)


def decode_file(data: bytes, name: str) -> DecodedFile:
    """Decode PNG, JPEG, BMP, TIFF or DICOM, detected by its bytes; `name`: used in errors.

    Raises:
        InvalidDataError: the format is another, or the file is damaged or too large.
        ConfigError: the file is DICOM, and pydicom is not installed.
    """
    if is_dicom(data):
        scan = decode(data, name)
        return DecodedFile(images.decode(scan.png, name).rgb, scan.pixel_mm)
    return DecodedFile(images.decode(data, name).rgb, 0.0)


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
        return DecodedFile(np.repeat(image[..., None], 3, axis=2) if grey else image, 0.0)
    path = Path(image)
    try:
        return decode_file(path.read_bytes(), path.name)
    except OSError as error:
        raise InvalidDataError(f"{path} can't be read: {error.strerror}") from None


def read_grey(image: ImageInput, name: str = "image") -> images.Grey:
    """Read an image with `read_image` as grey (H, W) uint8; such an array is not copied."""
    if isinstance(image, np.ndarray) and image.ndim == 2 and image.dtype == np.uint8 and image.size:
        return image
    return read_image(image, name).grey


def is_dicom(data: bytes) -> bool:
    """Whether a file has DICOM's magic bytes."""
    return data[_MAGIC] == b"DICM"


def decode(data: bytes, name: str) -> Scan:
    """Decode a DICOM file.

    Raises:
        InvalidDataError: it has no pixels, several frames, more than `images.MAX_PIXELS`, or can't
            be decoded.
        ConfigError: pydicom is not installed.
    """
    try:
        import pydicom
    except ModuleNotFoundError:
        msg = f"{name} is DICOM, which needs pydicom: pip install pydicom, or convert to PNG"
        raise ConfigError(msg) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that violate details of the standard
            header = pydicom.dcmread(io.BytesIO(data))
            _hold(header, name)
            png = images.png_file(Image.fromarray(_pixels(header)))
            patient = str(header.get("PatientID") or "").strip()
            return Scan(png, patient, _pixel_mm(header))
    except InvalidDataError:
        raise
    except Exception as error:  # on broken files pydicom raises any error
        why = " ".join(str(error).split())[:120] or type(error).__name__
        msg = f"{name} can't be decoded as DICOM: {why}; convert it to PNG, or remove it"
        raise InvalidDataError(msg) from None


def _hold(header: Any, name: str) -> None:
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        msg = f"{name} has {frames} frames, expected a single image; export one frame"
        raise InvalidDataError(msg)
    if "PixelData" not in header:
        raise InvalidDataError(f"{name} is DICOM without an image; remove it")
    if header.Rows * header.Columns > images.MAX_PIXELS:
        raise InvalidDataError(
            f"{name} has {header.Columns} × {header.Rows} pixels; "
            f"at most {images.MAX_PIXELS:,} are read; make it smaller"
        )


def _pixels(header: Any) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3)."""
    from pydicom.pixels import apply_color_lut, pixel_array

    stored = pixel_array(header)  # converts YBR to RGB
    kind = header.PhotometricInterpretation
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)
        bits, signed = 8 * stored.dtype.itemsize, False
    wide = stored.astype(np.int64) + (2 ** (bits - 1) if signed else 0)
    scaled = np.clip(np.rint(wide * (255 / (2**bits - 1))), 0, 255)
    grey: NDArray[np.uint8] = scaled.astype(np.uint8)
    return 255 - grey if kind == "MONOCHROME1" else grey


def _pixel_mm(header: Any) -> float:
    """Pixel spacing in mm; 0 if two regions, or the two directions, differ."""
    sides = [float(side) for side in header.get("PixelSpacing") or ()]
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        flat = region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL
        if flat and units == (_CENTIMETRES, _CENTIMETRES):
            sides += [10 * abs(region.PhysicalDeltaX), 10 * abs(region.PhysicalDeltaY)]
    alike = bool(sides) and all(math.isclose(side, sides[0], rel_tol=0.01) for side in sides)
    return sides[0] if alike and 0 < sides[0] < math.inf else 0.0
