"""Image files: PNG, JPEG, BMP, TIFF, GIF and WebP, upright, with their greys, frame by frame.

The base class `ImageFile` is also that of DICOM (`hgmnet.data.dicom`); `hgmnet.data.reader` opens
either.
"""

import hashlib
import io
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from hgmnet.data.limits import MAX_FILE_BYTES, MAX_FRAMES, MAX_PIXELS
from hgmnet.errors import InvalidDataError, brief

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
"""Suffixes of image files, in lower case."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDE_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_SUBFILE_TYPE, _BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 254, 258, 281  # tags of TIFF
_REDUCED = 1  # bit of TIFF's NewSubfileType: the page is a smaller copy of another
_DEPTHS = (8, 10, 12, 14, 16)
_ROWS = 256  # rows that are scaled at a time
_CLEAR = 2**14  # an image with such a value uses 16 bits

Grey = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


class UnknownDepthError(InvalidDataError):
    """An image uses fewer bits than its pixels have, and does not declare how many.

    `maximum`: its largest value.
    """

    def __init__(self, name: str, maximum: int) -> None:
        self.maximum = maximum
        super().__init__(
            f"{name} has values up to {maximum} in pixels of 16 bits and declares no depth; "
            f"declare it (hgmnet predict --bits {depth_of(maximum)}), or convert it to 8 bits"
        )


def depth_of(maximum: int) -> int:
    """Return the smallest of 8, 10, 12, 14 and 16 bits that holds a value."""
    return next((bits for bits in _DEPTHS if maximum < 2**bits), _DEPTHS[-1])


def grey_levels(values: NDArray[np.integer], depth: int) -> Grey:
    """Scale values of 0 to 65535 and a depth in bits to 0-255; larger ones become 255."""
    scaled = np.arange(2**16, dtype=np.int64) * 255 // (2**depth - 1)
    levels = np.minimum(scaled, 255).astype(np.uint8)
    return by_rows(values, lambda rows: levels[rows])


def by_rows(
    stored: NDArray[np.integer], scale: Callable[[NDArray[np.integer]], NDArray[Any]]
) -> NDArray[np.uint8]:
    """Scale some rows at a time: floating-point numbers of a whole image take much memory."""
    scaled = np.empty(stored.shape, np.uint8)
    for start in range(0, len(stored), _ROWS):
        scaled[start : start + _ROWS] = scale(stored[start : start + _ROWS])
    return scaled


@dataclass(frozen=True)
class DecodedFile:
    """A decoded image.

    `rgb`: (H, W, 3) uint8, read-only. `pixel_mm`: pixel spacing in mm, 0 if unknown. `frame`: its
    number, from 1; 0 for the only one. `mode`: the file's colour mode, PIL's name: L, RGB, I;16.
    """

    rgb: Rgb
    pixel_mm: float
    frame: int = 0
    mode: str = ""

    @cached_property
    def grey(self) -> Grey:
        """The image as the network's input before resizing, (H, W) uint8."""
        return to_grey(self.rgb)


class ImageFile(ABC):
    """An opened image file; `len` is the number of its frames, which are decoded when requested.

    `name`: for errors. `patient`: the patient's id, empty if unknown. `pixel_mm`: pixel spacing in
    mm, 0 if unknown. `undeclared`: largest value of the frames decoded so far, if the file does not
    declare their depth; otherwise 0.
    """

    name: str
    patient = ""
    pixel_mm = 0.0
    undeclared = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def decode(self, frame: int, bits: int = 0) -> DecodedFile:
        """Decode a frame.

        Args:
            frame: its index, from 0.
            bits: depth of pixels of 16 bits whose depth the file does not declare; 0 if unknown.

        Raises:
            UnknownDepthError: the depth is unknown.
            InvalidDataError: the frame is damaged or too large, or exceeds `bits`.
        """

    @abstractmethod
    def png(self, frame: int, bits: int = 0) -> bytes:
        """Encode a frame as PNG, upright and with all its greys; otherwise as `decode`."""

    def only(self, bits: int = 0) -> DecodedFile:
        """Decode the single frame; InvalidDataError if there are several, or as `decode`."""
        if len(self) > 1:
            msg = f"{self.name} has {len(self)} frames, expected a single image; export one frame"
            raise InvalidDataError(msg)
        return self.decode(0, bits)

    def mask(self, frames: Iterable[int] = ()) -> Grey:
        """Decode a mask to its grey values (H, W) uint8: the brightest of these frames, or of all.

        Raises:
            InvalidDataError: frames differ in size; also as `decode`.
        """
        masks = [self._mask(frame) for frame in tuple(frames) or range(len(self))]
        if len({mask.shape for mask in masks}) > 1:
            msg = f"{self.name} has frames of different sizes; a mask must have its image's size"
            raise InvalidDataError(msg)
        return np.asarray(np.maximum.reduce(masks))

    def mask_values(self, frame: int, *, alpha: bool = False) -> NDArray[np.integer]:
        """Decode a mask to its values as stored (H, W), or to its opacity.

        Raises:
            InvalidDataError: there is no alpha channel; also as `decode`.
        """
        if alpha:
            raise InvalidDataError(f"{self.name} has no alpha channel; choose another option")
        return self.decode(frame).grey

    def _decoded(self, rgb: Rgb, frame: int, mode: str) -> DecodedFile:
        return DecodedFile(rgb, self.pixel_mm, frame + 1 if len(self) > 1 else 0, mode)

    def _mask(self, frame: int) -> Grey:
        return self.decode(frame).grey

    def _known_depth(self, high: int, bits: int) -> int:
        """Depth of undeclared pixels of 16 bits with values up to `high`; `bits` if declared."""
        self.undeclared = max(self.undeclared, high)
        if not bits and high < _CLEAR:
            raise UnknownDepthError(self.name, high)
        if high >= 2 ** (bits or 16):
            raise InvalidDataError(
                f"{self.name} has values up to {high}, which {bits} bits can't hold; declare the "
                f"true depth: {depth_of(high)}"
            )
        return bits or 16


def read_file(path: Path) -> bytes:
    """Read an image file; InvalidDataError above `MAX_FILE_BYTES`, OSError if it can't be read."""
    with path.open("rb") as file:
        size = path.stat().st_size if path.is_file() else MAX_FILE_BYTES  # of a pipe: unknown
        data = file.read(min(size, MAX_FILE_BYTES) + 1)
    if len(data) > MAX_FILE_BYTES:
        msg = f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB, too large for an image"
        raise InvalidDataError(msg)
    return data


def decode(data: bytes, name: str) -> DecodedFile:
    """Decode an image of one frame: PNG, JPEG, BMP, TIFF, GIF or WebP of any colour mode.

    It is turned upright as its EXIF orientation states. Greys of 16 bits are scaled to 0-255 by
    their depth; transparent pixels are blended with black. `name`: used in errors.

    Raises:
        InvalidDataError: the format is another, the file truncated, over `MAX_PIXELS`, or has
            several frames.
        UnknownDepthError: the file uses fewer than 16 bits, and does not declare how many.
    """
    return RasterFile(data, name).only()


def decode_grey(data: bytes, name: str) -> Grey:
    """Decode an image to grey (H, W) uint8; otherwise as `decode`."""
    return decode(data, name).grey


def read_grey(raw: Path, name: str) -> Grey:
    """Read an image of the manifest, grey (H, W) uint8; InvalidDataError, also if it is missing."""
    try:
        data = read_file(raw / name)
    except OSError as error:
        raise InvalidDataError(
            f"{raw / name} is in the manifest but can't be read ({error.strerror}); restore it "
            "(dvc checkout, or hgmnet import), then: dvc repro"
        ) from None
    return decode_grey(data, name)


def decode_mask(data: bytes, name: str) -> Grey:
    """Decode a mask to its grey values (H, W) uint8, ignoring alpha: the brightest of its frames.

    Values in 16 bits are scaled by the smallest depth that holds them; otherwise as `decode`.
    """
    return RasterFile(data, name).mask()


def from_grey(grey: Grey) -> Rgb:
    """Return (H, W) uint8 as (H, W, 3), read-only, without a copy."""
    return np.broadcast_to(grey[..., None], (*grey.shape, 3))


def to_grey(rgb: Rgb) -> Grey:
    """Convert (H, W, 3) uint8 to (H, W) uint8 by ITU-R 601-2 luma."""
    if rgb.strides[2] == 0:  # from `from_grey`: luma of three equal values is that value
        return rgb[..., 0]
    return np.asarray(Image.fromarray(rgb).convert("L"))


def pixel_sha256(rgb: Rgb) -> str:
    """Hash width, height and pixels of (H, W, 3) uint8: a re-encoded file keeps it."""
    height, width = rgb.shape[:2]
    digest = hashlib.sha256(f"{width} {height} ".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Encode a mask (H, W) bool as a PNG file of 0 and 255."""
    return png_file(Image.fromarray(mask).convert("L"))


def png_file(image: Image.Image, *, optimize: bool = False) -> bytes:
    """Encode an image as the bytes of a PNG file."""
    png = io.BytesIO()
    image.save(png, "PNG", optimize=optimize)
    return png.getvalue()


def check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Check an image's size, px, from its header; InvalidDataError if it has too many pixels."""
    if width * height > max_pixels:
        raise InvalidDataError(
            f"{name}: {width} × {height} pixels; at most {max_pixels:,} pixels are read; "
            "make it smaller"
        )


class RasterFile(ImageFile):
    """A PNG, JPEG, BMP, TIFF, GIF or WebP file.

    Raises:
        InvalidDataError: the format is another, the file is truncated, or has too many frames or
            pixels.
    """

    def __init__(self, data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> None:
        self.name, self._data, self._max_pixels = name, data, max_pixels
        with self._errors():
            self._image = Image.open(io.BytesIO(data), formats=_FORMATS)
            check_size(*self._image.size, name, max_pixels)
            if self._image.format == "PNG" and b"IEND" not in data:
                raise OSError("the file is truncated")
            self._pages = self._listed()
            self._bits = self._sample_bits()

    def __len__(self) -> int:
        """Number of frames; a page that is a smaller copy of another is none."""
        return len(self._pages)

    def decode(self, frame: int, bits: int = 0) -> DecodedFile:
        """Decode a frame to RGB; see `ImageFile.decode`."""
        image = self._upright(frame)
        if image.mode in _WIDE_MODES:
            values, depth = self._wide(image, bits)
            return self._decoded(from_grey(grey_levels(values, depth)), frame, image.mode)
        rgb = _to_rgb(image, self.name)
        if max(self._bits) > 8 and 256 * int(rgb.max(initial=0)) < _CLEAR:
            raise InvalidDataError(
                f"{self.name} has colours of 16 bits, of which its values use few; convert it to "
                "8 bits per colour"
            )
        return self._decoded(rgb, frame, image.mode)

    def png(self, frame: int, bits: int = 0) -> bytes:
        """Encode a frame as PNG without loss; see `ImageFile.png`.

        An upright PNG of one frame with a known depth is returned unchanged, byte for byte; of 8
        bits, only its header and end are checked. Of an unknown depth, the values are stretched to
        16 bits, which the file then declares.
        """
        keep = self._image.format == "PNG" and len(self) == 1 and not self._turned()
        if keep and max(self._bits) <= 8:
            return self._data
        image = self._upright(frame)
        if image.mode not in _WIDE_MODES:
            rgb = self.decode(frame, bits).rgb
            as_it_is = image.mode in _PNG_MODES
            return self._data if keep else png_file(image if as_it_is else Image.fromarray(rgb))
        values, depth = self._wide(image, bits)
        if keep and not self._undeclared(values):
            return self._data
        wide = (values.astype(np.uint32) * 65535 // (2**depth - 1)).astype(np.uint16)
        declared = PngInfo()
        declared.add(b"sBIT", b"\x10")
        png = io.BytesIO()
        Image.fromarray(wide).save(png, "PNG", pnginfo=declared)
        return png.getvalue()

    def mask_values(self, frame: int, *, alpha: bool = False) -> NDArray[np.integer]:
        """Decode a mask to its values as stored, see `ImageFile.mask_values`."""
        image = self._upright(frame)
        if alpha and not image.has_transparency_data:
            return super().mask_values(frame, alpha=alpha)
        if alpha:
            return np.asarray(image.convert("RGBA").getchannel("A"))
        return self._values(image) if image.mode in _WIDE_MODES else np.asarray(image.convert("L"))

    def _mask(self, frame: int) -> Grey:
        image = self._upright(frame)
        if image.mode not in _WIDE_MODES:
            return np.asarray(image.convert("L"))
        values = self._values(image)
        return grey_levels(values, depth_of(int(values.max(initial=0))))

    def _upright(self, frame: int) -> Image.Image:
        with self._errors():
            self._image.seek(self._pages[frame])
            check_size(*self._image.size, self.name, self._max_pixels)
            self._image.load()
            return ImageOps.exif_transpose(self._image) if self._turned() else self._image

    def _turned(self) -> bool:
        with suppress(Exception):  # broken EXIF, which viewers ignore; PIL itself turns TIFF
            return bool(self._image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
        return False

    def _listed(self) -> list[int]:
        """Indices of the pages that are pictures of their own."""
        count = getattr(self._image, "n_frames", 1)
        if count > MAX_FRAMES:
            msg = f"{self.name} has {count:,} frames; at most {MAX_FRAMES:,} are read; split it up"
            raise InvalidDataError(msg)
        if self._image.format != "TIFF" or count == 1:
            return list(range(count))
        pages = []
        for page in range(count):
            self._image.seek(page)
            if not int(self._image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED:  # type: ignore[attr-defined]
                pages.append(page)
        return pages or [0]

    def _sample_bits(self) -> tuple[int, int]:
        """Bits per sample as stored, and the depth that the file declares, 0 if none."""
        if self._image.format == "PNG":
            return self._data[24], _significant_bits(self._data)
        if self._image.format != "TIFF":
            return 8, 0
        tags = self._image.tag_v2  # type: ignore[attr-defined]
        bits = max(tags.get(_BITS_PER_SAMPLE, (1,)))
        largest = tags.get(_MAX_SAMPLE_VALUE)
        stated = int(max(largest)) if isinstance(largest, tuple) else int(largest or 0)
        return bits, bits if 8 < bits < 16 else min(stated.bit_length(), 16)

    def _values(self, image: Image.Image) -> NDArray[np.integer]:
        values = np.asarray(image)
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if low < 0 or high >= 2**16:
            msg = f"{self.name} has values from {low} to {high}; expected 0 to 65535; convert it"
            raise InvalidDataError(msg)
        return values

    def _wide(self, image: Image.Image, bits: int) -> tuple[NDArray[np.integer], int]:
        """Values of 0 to 65535, and their depth."""
        values = self._values(image)
        high, declared = int(values.max(initial=0)), self._bits[1]
        if declared:  # a PNG may also stretch its values to 16 bits, as its standard demands
            return values, declared if high < 2**declared else 16
        return values, self._known_depth(high, bits)

    def _undeclared(self, values: NDArray[np.integer]) -> bool:
        return not self._bits[1] and int(values.max(initial=0)) < _CLEAR

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except InvalidDataError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            size, most = str(error).partition(",")[0], f"at most {self._max_pixels:,} pixels"
            msg = f"{self.name}: {size}; {most} are read; make it smaller"
            raise InvalidDataError(msg) from None
        except Exception as error:  # on broken bytes PIL's decoders raise any error
            why = brief(error) or "broken data"
            if why.startswith("cannot identify"):  # followed by the address of a buffer
                why = "no such image"
            raise InvalidDataError(
                f"{self.name} can't be decoded as PNG, JPEG, BMP, TIFF, GIF or WebP: {why}; "
                "replace or remove it"
            ) from None


def _significant_bits(png: bytes) -> int:
    """Depth in the chunk sBIT of a PNG file, which stands before the pixels; 0 without one."""
    at = len(_PNG_SIGNATURE)
    while at + 9 < len(png) and png[at + 4 : at + 8] not in {b"IDAT", b"IEND"}:
        if png[at + 4 : at + 8] == b"sBIT":
            return png[at + 8]
        at += 12 + int(struct.unpack(">I", png[at : at + 4])[0])
    return 0


def _to_rgb(image: Image.Image, name: str) -> Rgb:
    if image.mode == "F":
        msg = f"{name} has floating-point greys; expected 8 or 16 bits; convert it to PNG"
        raise InvalidDataError(msg)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode in {"1", "L"}:
        return from_grey(np.asarray(image.convert("L")))
    return np.asarray(image.convert("RGB"))
