"""Files that unpack to much more than they are, by each way into a decoder."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from hgmnet.data import dicom, images
from hgmnet.data.reader import decode_file
from hgmnet.errors import InvalidDataError
from hgmnet.importing import importer
from hgmnet.importing.spreadsheet import read
from tests.memory import peak
from tests.source_files import dicom_file, encoded

MIB = 2**20


def compressed(frame: bytes, syntax: str, **header: object) -> bytes:
    """A DICOM file of 8 × 8 pixels by its header, with one compressed frame."""
    file = pydicom.dcmread(io.BytesIO(dicom_file(np.zeros((8, 8), np.uint8))))
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = encapsulate([frame])
    file["PixelData"].is_undefined_length = True
    for name, value in header.items():
        setattr(file, name, value)
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def rle(runs: int) -> bytes:
    """A frame of one segment: zeros, 128 for every two bytes."""
    return struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * runs


def refused(data: bytes, match: str) -> None:
    with pytest.raises(InvalidDataError, match=match) as caught:
        decode_file(data, "a.dcm")
    assert "\n" not in str(caught.value)


def test_a_frame_larger_than_its_dicom_header_states_is_not_decoded() -> None:
    """The header states 8 × 8 pixels, the JPEG inside it 81 million."""
    jpeg = io.BytesIO()
    Image.new("L", (9000, 9000)).save(jpeg, "JPEG", quality=1)
    refused(compressed(jpeg.getvalue(), JPEGBaseline8Bit), "9000 × 9000 pixels; at most 64,000,000")


def test_a_run_length_frame_is_not_unpacked_beyond_the_limit(monkeypatch) -> None:
    monkeypatch.setattr(dicom, "MAX_FILE_BYTES", 4 * MIB)
    assert decode_file(compressed(rle(8), RLELossless), "a.dcm").grey.shape == (8, 8)
    data = compressed(rle(MIB // 2), RLELossless)  # 1 MiB, unpacked 64
    assert peak(lambda: refused(data, "unpacks to more than 4 MiB")) < 16 * MIB


def test_scaling_a_large_dicom_image_takes_little_more_than_the_image() -> None:
    side = 3000
    file = dicom_file(np.arange(side * side, dtype=np.uint32).reshape(side, side).astype(np.uint8))
    assert peak(lambda: decode_file(file, "a.dcm")) < 6 * side * side


def test_a_sixteen_bit_image_takes_little_more_than_its_pixels() -> None:
    side = 2000
    png = io.BytesIO()
    Image.fromarray(np.full((side, side), 25700, np.uint16)).save(png, "PNG")
    assert peak(lambda: images.decode_grey(png.getvalue(), "a.png")) < 9 * side * side


def test_a_grey_image_is_its_own_luma() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = images.decode(images.png_file(Image.fromarray(pixels)), "a.png").rgb
    assert images.pixel_sha256(rgb) == images.pixel_sha256(np.repeat(pixels[..., None], 3, 2))
    np.testing.assert_array_equal(images.to_grey(rgb), images.to_grey(rgb.copy()))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_that_states_too_small_a_size_is_not_unpacked(tmp_path: Path, method: int) -> None:
    """The directory of the archive states 100 bytes; unpacked it has 64 MiB."""
    file = tmp_path / "s.zip"
    file.write_bytes(lying(method, "benign/a.png", 64 * MIB))

    def work() -> None:
        with pytest.raises(InvalidDataError):
            importer.lay_out(file, tmp_path / "data/mine/raw")

    assert peak(work) < 8 * MIB


def test_a_table_whose_parts_state_too_small_a_size_is_not_unpacked() -> None:
    data = lying(zipfile.ZIP_DEFLATED, "[Content_Types].xml", 64 * MIB)

    def work() -> None:
        with pytest.raises(InvalidDataError):
            read(data, PurePosixPath("t.xlsx"))

    assert peak(work) < 8 * MIB


def test_a_file_without_an_end_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", MIB)
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "sparse.png").touch()
    os.truncate(tmp_path / "sparse.png", 2**40)
    assert images.read_file(tmp_path / "a.png") == encoded()
    for path in (tmp_path / "sparse.png", Path("/dev/zero")):
        with pytest.raises(InvalidDataError, match="too large for an image"):
            images.read_file(path)


def lying(method: int, name: str, size: int) -> bytes:
    """An archive of one entry of zeros; its directory states 100 bytes, and their CRC."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, bytes(size))
    data = bytearray(file.getvalue())
    for at in (14, data.index(b"PK\x01\x02") + 16):  # CRC, packed and unpacked size
        struct.pack_into("<L", data, at, zlib.crc32(bytes(100)))
        struct.pack_into("<L", data, at + 8, 100)
    return bytes(data)
