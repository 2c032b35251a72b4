"""Tiny sources of every format: path in the source -> bytes, written as a folder or a zip."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.errors import InvalidDataError
from hgmnet.importing import importer

Files = Mapping[str, bytes]

BUS_BRA_COLUMNS = (
    *("ID", "Case", "Histology", "Pathology", "BIRADS", "Device"),
    *("Width", "Height", "Side", "BBOX"),
)
BREAST_TABLE = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
BREAST_FOLDER = "BrEaST-Lesions_USG-images_and_masks"
BREAST_COLUMNS = (
    *("CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename", "Pixel_size"),
    *("Age", "Shape", "BIRADS", "Verification", "Diagnosis", "Classification"),
)
BREAST_ROWS = (
    (
        1,
        "case001.png",
        "case001_tumor.png",
        None,
        0.0071,
        57,
        "irregular",
        "4c",
        "x",
        "y",
        "benign",
    ),
    (
        *(2, "case002.png", "case002_tumor.png", "case002_other1.png&case002_other2.png", 0.00885),
        *(41, "oval", "5", "x", "y", "malignant"),
    ),
    (45, "case045.png", None, None, 0.0071, 33, "not applicable", "1", "x", "y", "normal"),
)


def encoded(value: int = 0, kind: str = "PNG", mode: str = "L") -> bytes:
    """A picture of one grey, 6 × 4."""
    data = io.BytesIO()
    Image.fromarray(np.full((4, 6), value, np.uint8)).convert(mode).save(data, kind)
    return data.getvalue()


def folder(path: Path, files: Files) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refused(source: Path, match: str, raw: Path) -> None:
    """Hold that nothing of the source comes in, and that one line says why."""
    with pytest.raises(InvalidDataError, match=match) as caught:
        importer.lay_out(source, raw)
    assert "\n" not in str(caught.value)
    assert not raw.parent.exists()


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue().encode()


def as_xlsx(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (columns, *rows):
        book.active.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def bus_bra(top: str = "BUSBRA/", cases: int = 2, side: int = 8) -> dict[str, bytes]:
    """`cases` patients with two square images each, the odd ones malignant; all images differ."""
    rows = []
    files = {}
    rng = np.random.default_rng(0)
    for case in range(1, cases + 1):
        for breast_side in "lr":
            name = f"{case:04}-{breast_side}"
            label = "malignant" if case % 2 else "benign"
            box = f"[3, 3, {side - 6}, {side - 6}]"
            rows.append(
                (f"bus_{name}", case, "Cyst", label, 4, "GE Logiq 5", side, side, breast_side, box),
            )
            files[f"{top}Images/bus_{name}.png"] = _png(
                rng.integers(0, 256, (side, side), np.uint8)
            )
            mask = np.pad(np.full((side - 6, side - 6), 255, np.uint8), 3)
            files[f"{top}Masks/mask_{name}.png"] = _png(mask)
    files[f"{top}bus_data.csv"] = as_csv(BUS_BRA_COLUMNS, rows)
    files[f"{top}5-fold-cv.csv"] = as_csv(("ID", "Case", "Pathology", "kFold"), [])
    return files


def breast(table: str = BREAST_TABLE, images: str = f"{BREAST_FOLDER}/") -> dict[str, bytes]:
    """Three cases, RGBA throughout, as the archive has them; the table as .xlsx or .csv."""
    names = [
        *("case001.png", "case001_tumor.png", "case002.png", "case002_tumor.png"),
        *("case002_other1.png", "case002_other2.png", "case045.png"),
    ]
    files = {
        images + name: encoded(255 if "_" in name else number, mode="RGBA")
        for number, name in enumerate(names)
    }
    write = as_csv if table.endswith(".csv") else as_xlsx
    return files | {table: write(BREAST_COLUMNS, BREAST_ROWS)}


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


GREY = np.array([[0, 100, 255], [7, 8, 9]], np.uint8)


def dicom_file(pixels=GREY, kind="MONOCHROME2", bits=8, **elements):
    """A file as a scanner's export would be: uncompressed, explicit little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.SOPClassUID, header.SOPInstanceUID = UltrasoundImageStorage, "1.2.3"
    header.Rows, header.Columns = pixels.shape[:2]
    header.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        header.PlanarConfiguration = 0
    header.PhotometricInterpretation = kind
    header.BitsAllocated = 8 * pixels.dtype.itemsize
    header.BitsStored, header.HighBit = bits, bits - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    header.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in elements.items():
        setattr(header, name, value)
    data = io.BytesIO()
    header.save_as(data, enforce_file_format=True)
    return data.getvalue()
