"""DICOM images: frames as a viewer shows them, the patient's id, and the pixel spacing.

What each kind of file becomes is a table in docs/data.md.
"""

import io
import json
import logging
import math
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hgmnet.data import images
from hgmnet.data.images import DecodedFile, Grey, ImageFile, Rgb, by_rows
from hgmnet.data.limits import MAX_FILE_BYTES, MAX_FRAMES, MAX_PIXELS
from hgmnet.errors import ConfigError, InvalidDataError, brief

_MAGIC = slice(128, 132)
_FIRST_VRS = {b"UL", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM", b"OB"}  # of the first elements
_LOSSY_JPEG = {f"1.2.840.10008.1.2.4.{kind}" for kind in (50, 51)}
_BY_GDCM = {f"1.2.840.10008.1.2.4.{kind}" for kind in (57, 70, 80, 81)}  # JPEG Lossless, JPEG-LS
_SECONDS = 30  # for a frame
_CHILD = """
import io, json, sys
import numpy as np
from pydicom.pixels import get_decoder
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
except ImportError:
    pass
decoder, stated = get_decoder(sys.argv[1]), json.loads(sys.argv[2])
stated |= {"pixel_keyword": "PixelData", "number_of_frames": 1, "decoding_plugin": "gdcm"}
np.save(array := io.BytesIO(), decoder.as_array(sys.stdin.buffer.read(), **stated)[0])
sys.stdout.buffer.write(array.getvalue())
"""
_CENTIMETRES = 3  # Physical Units X Direction, PS3.3 C.8.5.5.1.15
_TWO_DIMENSIONAL = 1  # Region Spatial Format, PS3.3 C.8.5.5.1.1
_NEAR, _MOST = 12, 0.9  # how near a colour is to 128, and the share of pixels, in `_misread`


class DicomFile(ImageFile):
    """A DICOM file, with or without the preamble.

    `header`: pydicom's data set. Sizes are read from headers, and the inflated size of a deflated
    file is counted, before the pixels take memory.

    Raises:
        InvalidDataError: it has no pixels, too many frames or pixels, inflates to more than
            `MAX_FILE_BYTES`, or can't be read.
        ConfigError: pydicom is not installed.
    """

    def __init__(self, data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> None:
        self.name, self._max_pixels = name, max_pixels
        with self._errors():
            self.header = _header(data, name)
            self._frames = _checked_frames(self.header, name, max_pixels)
            self.patient = str(self.header.get("PatientID") or "").strip()
            self.pixel_mm = _pixel_mm(self.header)

    def __len__(self) -> int:
        """Number of frames."""
        return self._frames

    def decode(self, frame: int, bits: int = 0) -> DecodedFile:
        """Decode a frame to RGB; also InvalidDataError if its colours contradict its header."""
        pixels = self._pixels(frame, bits)
        rgb = images.from_grey(pixels) if pixels.ndim == 2 else pixels
        return self._decoded(rgb, frame, "DICOM")

    def png(self, frame: int, bits: int = 0) -> bytes:
        """Encode a frame as PNG of 8 bits per colour; see `ImageFile.png`."""
        return images.png_file(Image.fromarray(self._pixels(frame, bits)))

    def _pixels(self, frame: int, bits: int) -> NDArray[np.uint8]:
        """(H, W) or (H, W, 3)."""
        with self._errors():
            stored = _stored(self.header, frame, self.name, self._max_pixels)
            if stored.ndim == 2 and self.header.PhotometricInterpretation != "PALETTE COLOR":
                return _to_grey(stored, self.header, partial(self._known_depth, bits=bits))
            return _to_colours(
                stored, self.header, self.name, partial(self._known_depth, bits=bits)
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about values that violate details of the standard
                yield
        except (InvalidDataError, ConfigError):
            raise
        except Exception as error:  # on broken files pydicom raises any error
            why = brief(error) or type(error).__name__
            msg = f"{self.name} can't be decoded as DICOM: {why}; convert it to PNG, or remove it"
            raise InvalidDataError(msg) from None


def is_dicom(data: bytes) -> bool:
    """Whether a file is DICOM: by its magic bytes, or, without preamble, by its first element."""
    if data[_MAGIC] == b"DICM":
        return True
    group, element, vr, length = struct.unpack("<HH2sH", data[:8].ljust(8, b"\0"))
    if group not in {2, 8} or element > 0x100:
        return False
    implicit = int.from_bytes(vr, "little") + 2**16 * length
    return vr in _FIRST_VRS or implicit <= min(len(data), 2**10)


def _header(data: bytes, name: str) -> Any:
    try:
        import pydicom
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
    except ModuleNotFoundError:
        msg = f"{name} is DICOM, which needs pydicom: pip install pydicom, or convert to PNG"
        raise ConfigError(msg) from None
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it logs what it then raises
    whole = data[_MAGIC] == b"DICM"
    if whole:
        _check_inflated(data, name)
    header = pydicom.dcmread(io.BytesIO(data), force=not whole)
    if "TransferSyntaxUID" not in header.file_meta:
        implicit = header.original_encoding[0]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        header.file_meta.TransferSyntaxUID = syntax
    return header


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


def _checked_frames(header: Any, name: str, max_pixels: int) -> int:
    """Check sizes and syntax by the header; return the number of frames."""
    if "PixelData" not in header:
        raise InvalidDataError(f"{name} is DICOM without an image; remove it")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > MAX_FRAMES:
        msg = f"{name} has {frames:,} frames; at most {MAX_FRAMES:,} are read; split it up"
        raise InvalidDataError(msg)
    images.check_size(header.Columns, header.Rows, name, max_pixels)
    return frames


def _stored(header: Any, frame: int, name: str, max_pixels: int) -> NDArray[np.integer]:
    """Decode a frame's stored values, (H, W), or (H, W, 3) as RGB."""
    from pydicom import uid
    from pydicom.encaps import get_frame
    from pydicom.pixels import pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        pixels = pixel_array(header, index=frame, correct_unused_bits=False)
        return _used_bits(pixels, header)
    frames = int(header.get("NumberOfFrames") or 1)
    packed = get_frame(header.PixelData, frame, number_of_frames=frames)
    with suppress(UnidentifiedImageError), Image.open(io.BytesIO(packed)) as image:
        images.check_size(*image.size, name, max_pixels)
        if syntax in uid.JPEGTransferSyntaxes and (image.mode == "L" or syntax in _LOSSY_JPEG):
            return _jpeg(image, header)  # goes by the stream's colours, whatever the header states
    if syntax == uid.RLELossless:
        _check_rle(packed, name)
    elif syntax not in {*_BY_GDCM, uid.JPEG2000, uid.JPEG2000Lossless}:
        raise InvalidDataError(
            f"{name} is compressed by {syntax.name}, which can't be decoded; export it without "
            "compression, or convert it to PNG"
        )
    try:
        if syntax in _BY_GDCM:
            return _by_gdcm(packed, header)
        plugin = "pydicom" if syntax == uid.RLELossless else "pillow"
        return np.asarray(pixel_array(header, index=frame, decoding_plugin=plugin))
    except RuntimeError:
        raise InvalidDataError(
            f"{name} is compressed by {syntax.name}, and its pixels can't be decoded: they are "
            "damaged, or of a form that is not supported; export it without compression"
        ) from None


def _jpeg(image: Image.Image, header: Any) -> NDArray[np.integer]:
    if image.size != (header.Columns, header.Rows) or image.mode not in {"L", "RGB"}:
        size = f"{header.Columns} × {header.Rows}"
        raise ValueError(f"its JPEG is {image.size} {image.mode}, its header states {size}")
    return np.asarray(image)


def _by_gdcm(packed: bytes, header: Any) -> NDArray[np.integer]:
    """Decode a frame in its own process, which GDCM may end, or stall; RuntimeError on failure."""
    from pydicom.encaps import encapsulate

    known = {
        "rows": "Rows",
        "columns": "Columns",
        "samples_per_pixel": "SamplesPerPixel",
        "planar_configuration": "PlanarConfiguration",
        "bits_allocated": "BitsAllocated",
        "bits_stored": "BitsStored",
        "pixel_representation": "PixelRepresentation",
        "photometric_interpretation": "PhotometricInterpretation",
    }
    stated = {key: header[word].value for key, word in known.items() if word in header}
    words = [header.file_meta.TransferSyntaxUID, json.dumps(stated)]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, *words],
            input=encapsulate([packed]),
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError:
        raise RuntimeError from None
    return np.asarray(np.load(io.BytesIO(done.stdout)))


def _used_bits(stored: NDArray[np.integer], header: Any) -> NDArray[np.integer]:
    """Move the stored bits to the lowest place, without overlays in unused bits."""
    bits, lowest = int(header.BitsStored), int(header.HighBit) + 1 - int(header.BitsStored)
    unused = 8 * stored.dtype.itemsize - bits
    return (stored << (unused - lowest)) >> unused if unused > 0 else stored  # fills with the sign


def _rle_length(segment: bytes) -> int:
    """Bytes of a decoded segment of RLE, PS3.5 G.3.2; counting stops above `MAX_FILE_BYTES`."""
    at = length = 0
    while at < len(segment) and length <= MAX_FILE_BYTES:
        count = segment[at]
        length += count + 1 if count < 128 else 257 - count if count > 128 else 0
        at += count + 2 if count < 128 else 2 if count > 128 else 1
    return length


def _check_rle(packed: bytes, name: str) -> None:
    if 64 * len(packed) <= MAX_FILE_BYTES:  # two bytes become up to 128
        return
    segments = struct.unpack("<15L", packed[4:64])[: struct.unpack("<L", packed[:4])[0]]
    for start, end in zip(segments, [*segments[1:], len(packed)], strict=True):
        if _rle_length(packed[start:end]) > MAX_FILE_BYTES:
            _refuse_unpacked(name)


def _to_grey(stored: NDArray[np.integer], header: Any, known_depth: Callable[[int], int]) -> Grey:
    """Scale stored values to greys as a viewer shows them: (H, W) uint8.

    Modality LUT or rescaling, then the first VOI LUT or window, PS3.3 C.11.1 and C.11.2; without
    either, the depth that the header declares.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi

    depth, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    if depth > 16:
        raise ValueError(f"it has {depth} bits per pixel, and at most 16 are read")
    lowest, highest = (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1) if signed else (0, 2**depth - 1)
    levels = np.arange(lowest, highest + 1, dtype=np.int32)
    values = apply_modality_lut(levels, header).astype(np.float64)
    if header.get("VOILUTSequence"):
        item = header.VOILUTSequence[0]
        shown = apply_voi(values.astype(np.int64), header) / (2 ** int(item.LUTDescriptor[2]) - 1)
    elif _first(header.get("WindowWidth")) is not None:
        shown = _windowed(values, header)
    elif header.get("ModalityLUTSequence"):
        shown = values / (2 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        low, high = int(stored.min(initial=0)), int(stored.max(initial=0))
        if depth == 16:  # what a header states that does not know better
            reach = 2 * max(high, -low - 1) if low < 0 else high
            depth = known_depth(reach)
        lowest_used = (
            -(2 ** (depth - 1)) if low < 0 or (signed and depth == header.BitsStored) else 0
        )
        shown = (levels - lowest_used) / (2**depth - 1)
        shown = 1 - shown if float(header.get("RescaleSlope") or 1) < 0 else shown
    greys = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    greys = 255 - greys if header.PhotometricInterpretation == "MONOCHROME1" else greys
    return by_rows(
        stored, lambda rows: greys[np.clip(rows.astype(np.int32) - lowest, 0, len(greys) - 1)]
    )


def _windowed(values: NDArray[np.float64], header: Any) -> NDArray[np.float64]:
    """Apply the first window, PS3.3 C.11.2.1.2 and C.11.2.1.3: greys of 0 to 1, not clipped."""
    centre, width = (float(_first(header.get(name))) for name in ("WindowCenter", "WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if width < 1 and (function == "LINEAR" or width <= 0):
        raise ValueError(f"its window has the width {width:g}")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _first(value: Any) -> Any:
    """The first of several values; None for none."""
    return (value[0] if len(value) else None) if isinstance(value, MutableSequence) else value


def _to_colours(
    stored: NDArray[np.integer], header: Any, name: str, known_depth: Callable[[int], int]
) -> Rgb:
    from pydicom.pixels import apply_color_lut

    depth = int(header.BitsStored)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)
        depth = 8 * stored.dtype.itemsize
    elif depth == 16:
        depth = known_depth(int(stored.max(initial=0)))
    rgb = by_rows(stored, lambda rows: np.clip(np.rint(rows * (255 / (2**depth - 1))), 0, 255))
    if header.PhotometricInterpretation != "PALETTE COLOR" and _misread(rgb):
        raise InvalidDataError(
            f"{name} would be green: its header states {header.PhotometricInterpretation}, which "
            "its colours contradict (RGB and YCbCr confused); export it again, or convert it to PNG"
        )
    return rgb


def _misread(rgb: Rgb) -> bool:
    """Whether a grey image was decoded by the wrong colour model.

    RGB taken for YCbCr, and YCbCr taken for RGB, both turn every grey to a green of about 128.
    """
    some = rgb[:: 1 + len(rgb) // 512, :: 1 + rgb.shape[1] // 512].astype(np.int16)
    green = np.abs(some[..., 1] - 128) <= _NEAR
    return bool(green.mean() > _MOST) and float(some[..., 0].std()) > _NEAR


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
