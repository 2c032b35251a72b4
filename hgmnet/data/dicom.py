"""Decode image files: PNG, JPEG, BMP, TIFF, and DICOM with its header.

Grey and colour images of one frame. No window is applied: the stored range becomes 0-255.
"""

import io
import math
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hgmnet.data import images
from hgmnet.data.limits import MAX_FILE_BYTES, MAX_PIXELS
from hgmnet.errors import ConfigError, InvalidDataError

_MAGIC = slice(128, 132)
_CENTIMETRES = 3  # Physical Units X Direction, PS3.3 C.8.5.5.1.15
_TWO_DIMENSIONAL = 1  # Region Spatial Format, PS3.3 C.8.5.5.1.1
_ROWS = 256  # rows that are scaled at a time


@dataclass(frozen=True)
class Scan:
    """An image, its patient's id (empty if unknown), and its pixel spacing in mm (or 0).

    `pixels`: (H, W) or (H, W, 3) uint8.
    """

    pixels: NDArray[np.uint8]
    patient: str
    pixel_mm: float

    @property
    def png(self) -> bytes:
        """The pixels as a PNG file."""
        return images.png_file(Image.fromarray(self.pixels))


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


def decode_file(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> DecodedFile:
    """Decode PNG, JPEG, BMP, TIFF or DICOM, detected by its bytes; `name`: used in errors.

    Raises:
        InvalidDataError: the format is another, or the file is damaged or too large.
        ConfigError: the file is DICOM, and pydicom is not installed.
    """
    if is_dicom(data):
        scan = decode(data, name, max_pixels)
        return DecodedFile(_as_rgb(scan.pixels), scan.pixel_mm)
    return DecodedFile(images.decode(data, name, max_pixels).rgb, 0.0)


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
        return DecodedFile(_as_rgb(image), 0.0)
    path = Path(image)
    try:
        return decode_file(images.read_file(path), path.name)
    except OSError as error:
        raise InvalidDataError(f"{path} can't be read: {error.strerror}") from None


def _as_rgb(image: NDArray[np.uint8]) -> images.Rgb:
    return images.from_grey(image) if image.ndim == 2 else image


def read_grey(image: ImageInput, name: str = "image") -> images.Grey:
    """Read an image with `read_image` as grey (H, W) uint8; such an array is not copied."""
    if isinstance(image, np.ndarray) and image.ndim == 2 and image.dtype == np.uint8 and image.size:
        return image
    return read_image(image, name).grey


def is_dicom(data: bytes) -> bool:
    """Whether a file has DICOM's magic bytes."""
    return data[_MAGIC] == b"DICM"


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Scan:
    """Decode a DICOM file.

    Sizes are read from headers, and the inflated size of a deflated file is counted, before the
    pixels take memory.

    Raises:
        InvalidDataError: it has no pixels, several frames, more than `max_pixels`, inflates to more
            than `MAX_FILE_BYTES`, or can't be decoded.
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
            _check_inflated(data, name)
            header = pydicom.dcmread(io.BytesIO(data))
            _check_header(header, name, max_pixels)
            patient = str(header.get("PatientID") or "").strip()
            return Scan(_pixels(header), patient, _pixel_mm(header))
    except InvalidDataError:
        raise
    except Exception as error:  # on broken files pydicom raises any error
        why = " ".join(str(error).split())[:120] or type(error).__name__
        msg = f"{name} can't be decoded as DICOM: {why}; convert it to PNG, or remove it"
        raise InvalidDataError(msg) from None


def _check_inflated(data: bytes, name: str) -> None:
    """Check the inflated size of a deflated file: pydicom inflates all of it at once."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = io.BytesIO(data)
    read_preamble(file, force=False)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    size, unpacker = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    while part := file.read(2**16):
        while part:
            size += len(unpacker.decompress(part, 2**20))
            part = unpacker.unconsumed_tail
            if size > MAX_FILE_BYTES:
                _refuse_unpacked(name)


def _refuse_unpacked(name: str) -> None:
    most = f"{MAX_FILE_BYTES // 2**20} MiB"
    raise InvalidDataError(f"{name} unpacks to more than {most}; convert it to PNG, or remove it")


def _check_header(header: Any, name: str, max_pixels: int) -> None:
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        msg = f"{name} has {frames} frames, expected a single image; export one frame"
        raise InvalidDataError(msg)
    if "PixelData" not in header:
        raise InvalidDataError(f"{name} is DICOM without an image; remove it")
    images.check_size(header.Columns, header.Rows, name, max_pixels)
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_compressed(header, name, max_pixels)


def _check_compressed(header: Any, name: str, max_pixels: int) -> None:
    """Check what the compressed pixels unpack to, which the header need not state truly."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    frame = next(generate_frames(header.PixelData, number_of_frames=1))
    if header.file_meta.TransferSyntaxUID != RLELossless:
        with suppress(UnidentifiedImageError):  # JPEG and JPEG 2000; others are left to pydicom
            images.check_size(*Image.open(io.BytesIO(frame)).size, name, max_pixels)
    elif 64 * len(frame) > MAX_FILE_BYTES:  # two bytes become up to 128
        segments = struct.unpack("<15L", frame[4:64])[: struct.unpack("<L", frame[:4])[0]]
        for start, end in zip(segments, [*segments[1:], len(frame)], strict=True):
            if _rle_length(frame[start:end]) > MAX_FILE_BYTES:
                _refuse_unpacked(name)


def _rle_length(segment: bytes) -> int:
    """Bytes of a decoded segment of RLE, PS3.5 G.3.2; counting stops above `MAX_FILE_BYTES`."""
    at = length = 0
    while at < len(segment) and length <= MAX_FILE_BYTES:
        count = segment[at]
        length += count + 1 if count < 128 else 257 - count if count > 128 else 0
        at += count + 2 if count < 128 else 2 if count > 128 else 1
    return length


def _pixels(header: Any) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3)."""
    from pydicom.pixels import apply_color_lut, pixel_array

    stored = pixel_array(header)  # converts YBR to RGB
    kind = header.PhotometricInterpretation
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)
        bits, signed = 8 * stored.dtype.itemsize, False
    grey = np.empty(stored.shape, np.uint8)
    for start in range(0, len(stored), _ROWS):  # at 16 bytes per value
        rows = slice(start, start + _ROWS)
        wide = stored[rows].astype(np.int64) + (2 ** (bits - 1) if signed else 0)
        grey[rows] = np.clip(np.rint(wide * (255 / (2**bits - 1))), 0, 255)
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
