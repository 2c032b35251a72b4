"""Decode and encode images: the only place where encoded images are opened."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hgmnet.data.limits import MAX_FILE_BYTES, MAX_PIXELS
from hgmnet.errors import InvalidDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
"""Suffixes of image files, in lower case."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDE_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")

Grey = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image and how they were encoded.

    `rgb`: (H, W, 3) uint8, read-only. `mode`: PIL's name of the file's colour mode: L, RGB, RGBA,
    1, P, I;16.
    """

    rgb: Rgb
    mode: str


def read_file(path: Path) -> bytes:
    """Read an encoded image file.

    Raises:
        InvalidDataError: it has more than `MAX_FILE_BYTES`.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size if path.is_file() else MAX_FILE_BYTES  # of a pipe: unknown
        data = file.read(min(size, MAX_FILE_BYTES) + 1)
    if len(data) > MAX_FILE_BYTES:
        msg = f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB, too large for an image"
        raise InvalidDataError(msg)
    return data


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image: PNG, JPEG, BMP or TIFF of any colour mode.

    16-bit greys are scaled to 0-255; transparent pixels are blended with black. `name`: used in
    errors.

    Raises:
        InvalidDataError: the format is another, the file truncated, or over `max_pixels`.
    """
    image = _open(data, name, max_pixels=max_pixels)
    return Decoded(_to_rgb(image, name), image.mode)


def decode_grey(data: bytes, name: str) -> Grey:
    """Decode an image to grey (H, W) uint8; otherwise as `decode`."""
    return to_grey(decode(data, name).rgb)


def read_grey(raw: Path, name: str) -> Grey:
    """Read an image of the manifest, grey (H, W) uint8.

    Raises:
        InvalidDataError: the file is missing, or as `decode`.
    """
    try:
        data = read_file(raw / name)
    except OSError as error:
        raise InvalidDataError(
            f"{raw / name} is in the manifest but can't be read ({error.strerror}); restore it "
            "(dvc checkout, or hgmnet import), then: dvc repro"
        ) from None
    return decode_grey(data, name)


def decode_mask(data: bytes, name: str) -> Grey:
    """Decode a mask to its grey values (H, W) uint8, ignoring alpha; otherwise as `decode`."""
    image = _open(data, name)
    if image.mode in _WIDE_MODES:
        return to_grey(_to_rgb(image, name))
    return np.asarray(image.convert("L"))


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


def encode_png(data: bytes, name: str) -> bytes:
    """Re-encode an image as PNG without loss; a PNG is returned unchanged, byte for byte.

    Raises:
        InvalidDataError: as `decode`; for a PNG only header and end are checked.
    """
    if data.startswith(_PNG_SIGNATURE):
        _open(data, name, load=False)
        return data
    image = _open(data, name)
    return png_file(image if image.mode in _PNG_MODES else Image.fromarray(_to_rgb(image, name)))


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


def _open(
    data: bytes, name: str, *, load: bool = True, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        check_size(*image.size, name, max_pixels)
        if load:
            image.load()
        _check_end(image, data)
    except InvalidDataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size = str(error).partition(",")[0]
        msg = f"{name}: {size}; at most {max_pixels:,} pixels are read; make it smaller"
        raise InvalidDataError(msg) from None
    except Exception as error:  # on broken bytes PIL's decoders raise any error
        why = " ".join(str(error).split())[:120] or "broken data"
        if why.startswith("cannot identify"):  # followed by the address of a buffer
            why = "no such image"
        msg = f"{name} can't be decoded as PNG, JPEG, BMP or TIFF: {why}; replace or remove it"
        raise InvalidDataError(msg) from None
    return image


def _check_end(image: Image.Image, data: bytes) -> None:
    if image.format == "PNG" and b"IEND" not in data:
        raise OSError("the file is truncated")


def _to_rgb(image: Image.Image, name: str) -> Rgb:
    if image.mode in _WIDE_MODES:
        grey = (np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8)
        return from_grey(grey)
    if image.mode == "F":
        msg = f"{name} has floating-point greys; expected 8 or 16 bits; convert it to PNG"
        raise InvalidDataError(msg)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    if image.mode in {"1", "L"}:
        return from_grey(np.asarray(image.convert("L")))
    return np.asarray(image.convert("RGB"))
