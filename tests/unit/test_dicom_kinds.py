"""Every kind of DICOM image that docs/data.md names, against dcmtk where it is installed."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hgmnet.data.reader import open_image
from tests.dicom_files import compressed, without_preamble
from tests.source_files import dicom_file

_SMALL = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
GREY = np.asarray(Image.fromarray(_SMALL).resize((64, 48), Image.Resampling.BILINEAR))
WIDE = GREY.astype(np.uint16) * 16 + 7
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], 2)
YBR = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
Kind = tuple[bytes, np.ndarray, int]
"""A file, the pixels that a viewer shows, and the largest difference allowed."""


def rewritten(data: bytes, syntax: str) -> bytes:
    """Write a file in another transfer syntax, by pydicom."""
    file = pydicom.dcmread(io.BytesIO(data))
    if syntax == RLELossless:
        file.compress(syntax, encoding_plugin="pydicom")
    file.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        file.PixelData = np.frombuffer(file.PixelData, "<u2").astype(">u2").tobytes()
    out = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(out, file, implicit_vr=implicit, little_endian=little)
    return out.getvalue()


def by_gdcm(data: bytes, syntax: str) -> bytes:
    """Compress a file losslessly."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.dcm"), Path(folder, "out.dcm")
        source.write_bytes(data)
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


def jpeg(pixels: np.ndarray, **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=100, subsampling=0, **how)
    return out.getvalue()


def lut(values: np.ndarray, first: int, bits: int = 8) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", [int(value) for value in values])
    item.add_new("ModalityLUTType", "LO", "US")
    return Sequence([item])


def palette() -> dict[str, object]:
    """256 entries of 16 bits: red falls, green is grey, blue rises."""
    rising = np.arange(256, dtype=np.uint16) * 257
    tables = {"Red": rising[::-1], "Green": np.full(256, 128 * 257, np.uint16), "Blue": rising}
    described = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in tables}
    data = {f"{name}PaletteColorLookupTableData": table.tobytes() for name, table in tables.items()}
    return described | data


def planar() -> bytes:
    return dicom_file(RGB, "RGB", PlanarConfiguration=1, PixelData=np.moveaxis(RGB, 2, 0).tobytes())


def overlaid() -> bytes:
    """An overlay in group 6000, which is not part of the image."""
    file = pydicom.dcmread(io.BytesIO(dicom_file(GREY)))
    file.add_new(0x60000010, "US", GREY.shape[0])
    file.add_new(0x60000011, "US", GREY.shape[1])
    file.add_new(0x60000040, "CS", "G")
    file.add_new(0x60000050, "SS", [1, 1])
    file.add_new(0x60000100, "US", 1)
    file.add_new(0x60000102, "US", 0)
    file.add_new(0x60003000, "OW", b"\xff" * (GREY.size // 8))
    out = io.BytesIO()
    file.save_as(out)
    return out.getvalue()


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    share = (values.astype(float) - low) / (high - low)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def signed() -> np.ndarray:
    return (WIDE.astype(np.int16) - 2048).astype(np.int16)


KINDS: dict[str, Callable[[], Kind]] = {
    "MONOCHROME2": lambda: (dicom_file(GREY), GREY, 0),
    "MONOCHROME1": lambda: (dicom_file(GREY, "MONOCHROME1"), 255 - GREY, 0),
    "12 of 16 bits": lambda: (dicom_file(WIDE, bits=12), scaled(WIDE, 0, 4095), 0),
    "12 bits, signed": lambda: (dicom_file(signed(), bits=12), scaled(WIDE, 0, 4095), 0),
    "window": lambda: (
        dicom_file(WIDE, bits=12, WindowCenter=[1024, 9], WindowWidth=[1025, 9]),
        scaled(WIDE, 1023.5 - 512, 1023.5 + 512),
        1,
    ),
    "window, MONOCHROME1": lambda: (
        dicom_file(WIDE, "MONOCHROME1", bits=12, WindowCenter=1024, WindowWidth=1025),
        255 - scaled(WIDE, 1023.5 - 512, 1023.5 + 512),
        1,
    ),
    "window, 16 bits stated": lambda: (
        dicom_file(WIDE, bits=16, WindowCenter=2048, WindowWidth=4096),
        scaled(WIDE, 0, 4095),
        1,
    ),
    "window, exact": lambda: (
        dicom_file(
            WIDE, bits=12, WindowCenter=1024, WindowWidth=1024, VOILUTFunction="LINEAR_EXACT"
        ),
        scaled(WIDE, 512, 1536),
        1,
    ),
    "window, sigmoid": lambda: (
        dicom_file(WIDE, bits=12, WindowCenter=2048, WindowWidth=2048, VOILUTFunction="SIGMOID"),
        np.rint(255 / (1 + np.exp(-4 * (WIDE.astype(float) - 2048) / 2048))).astype(np.uint8),
        2,
    ),
    "VOI LUT": lambda: (
        dicom_file(GREY, VOILUTSequence=lut(np.arange(256)[::-1], 0)),
        255 - GREY,
        0,
    ),
    "Modality LUT": lambda: (
        dicom_file(GREY, ModalityLUTSequence=lut(np.arange(256)[::-1], 0)),
        255 - GREY,
        0,
    ),
    "rescaled, window": lambda: (
        dicom_file(
            WIDE,
            bits=12,
            RescaleSlope=2,
            RescaleIntercept=-100,
            WindowCenter=1900,
            WindowWidth=2001,
        ),
        scaled(2 * WIDE.astype(int) - 100, 1899.5 - 1000, 1899.5 + 1000),
        1,
    ),
    "rescaled downwards": lambda: (
        dicom_file(GREY, RescaleSlope=-1, RescaleIntercept=255),
        255 - GREY,
        0,
    ),
    "overlay in a group": lambda: (overlaid(), GREY, 0),
    "overlay in unused bits": lambda: (
        dicom_file(WIDE | 0x8000, bits=12),
        scaled(WIDE, 0, 4095),
        0,
    ),
    "high bits": lambda: (dicom_file(WIDE << 4, bits=12, HighBit=15), scaled(WIDE, 0, 4095), 0),
    "RGB": lambda: (dicom_file(RGB, "RGB"), RGB, 0),
    "RGB by plane": lambda: (planar(), RGB, 0),
    "YBR_FULL": lambda: (dicom_file(YBR, "YBR_FULL"), RGB, 3),
    "PALETTE COLOR": lambda: (
        dicom_file(GREY, "PALETTE COLOR", **palette()),
        np.stack([255 - GREY, np.full_like(GREY, 128), GREY], 2),
        0,
    ),
    "no preamble": lambda: (without_preamble(GREY), GREY, 0),
    "implicit": lambda: (rewritten(dicom_file(GREY), ImplicitVRLittleEndian), GREY, 0),
    "big endian": lambda: (
        rewritten(dicom_file(WIDE, bits=12), ExplicitVRBigEndian),
        scaled(WIDE, 0, 4095),
        0,
    ),
    "deflated": lambda: (rewritten(dicom_file(GREY), DeflatedExplicitVRLittleEndian), GREY, 0),
    "RLE": lambda: (rewritten(dicom_file(GREY), RLELossless), GREY, 0),
    "RLE, RGB": lambda: (rewritten(dicom_file(RGB, "RGB"), RLELossless), RGB, 0),
    "JPEG": lambda: (compressed(GREY, jpeg(GREY), JPEGBaseline8Bit, "MONOCHROME2"), GREY, 3),
    "JPEG, YBR_FULL_422": lambda: (
        compressed(RGB, jpeg(RGB), JPEGBaseline8Bit, "YBR_FULL_422"),
        RGB,
        12,
    ),
    "JPEG Lossless": lambda: (by_gdcm(dicom_file(GREY), JPEGLosslessSV1), GREY, 0),
    "JPEG Lossless, 12 bits": lambda: (
        by_gdcm(dicom_file(WIDE, bits=12), JPEGLosslessSV1),
        scaled(WIDE, 0, 4095),
        0,
    ),
    "JPEG Lossless, RGB": lambda: (by_gdcm(dicom_file(RGB, "RGB"), JPEGLossless), RGB, 0),
    "JPEG-LS": lambda: (by_gdcm(dicom_file(GREY), JPEGLSLossless), GREY, 0),
    "JPEG-LS, 12 bits": lambda: (
        by_gdcm(dicom_file(WIDE, bits=12), JPEGLSLossless),
        scaled(WIDE, 0, 4095),
        0,
    ),
    "JPEG-LS, near": lambda: (by_gdcm(dicom_file(GREY), JPEGLSNearLossless), GREY, 4),
    "JPEG-LS, RGB": lambda: (by_gdcm(dicom_file(RGB, "RGB"), JPEGLSLossless), RGB, 0),
    "JPEG 2000": lambda: (by_gdcm(dicom_file(GREY), JPEG2000Lossless), GREY, 0),
    "JPEG 2000, 12 bits": lambda: (
        by_gdcm(dicom_file(WIDE, bits=12), JPEG2000Lossless),
        scaled(WIDE, 0, 4095),
        0,
    ),
    "JPEG 2000, YBR_RCT": lambda: (by_gdcm(dicom_file(RGB, "RGB"), JPEG2000Lossless), RGB, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_shown_as_viewers_show_it(kind: str, tmp_path: Path) -> None:
    data, expected, most = KINDS[kind]()
    assert off(open_image(data, "a.dcm"), expected) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_dcmtk_shows_the_same(kind: str, tmp_path: Path) -> None:
    if not shutil.which("dcmj2pnm"):
        pytest.skip("needs dcmtk")
    if kind.startswith("JPEG 2000"):
        pytest.skip("dcmtk does not read JPEG 2000")
    data, expected, most = KINDS[kind]()
    (tmp_path / "a.dcm").write_bytes(data)
    program = "dcml2pnm" if kind.startswith("JPEG-LS") else "dcmj2pnm"
    window = ["+Wi", "1"] if "window" in kind else ["+Wl", "1"] if kind == "VOI LUT" else []
    words = [program, "-O", *window, tmp_path / "a.dcm", tmp_path / "a.ppm"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = np.asarray(Image.open(tmp_path / "a.ppm"))
    assert np.abs(seen.astype(int) - expected).max() <= max(most, 1)


def off(file: object, expected: np.ndarray) -> int:
    rgb = file.decode(0).rgb
    shown = rgb if expected.ndim == 3 else rgb[..., 0]
    assert expected.ndim == 3 or (rgb == rgb[..., :1]).all()
    assert shown.shape == expected.shape
    return int(np.abs(shown.astype(int) - expected).max())
