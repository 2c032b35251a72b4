"""DICOM files as archives hold them: with a compressed frame, or without a preamble."""

import io

import numpy as np
import pydicom
from pydicom.encaps import encapsulate

from tests.source_files import dicom_file


def compressed(pixels: np.ndarray, frame: bytes, syntax: str, kind: str) -> bytes:
    """A file with one compressed frame; `kind`: what the header calls its colours."""
    header = pydicom.dcmread(io.BytesIO(dicom_file(pixels)))
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate([frame])
    header["PixelData"].is_undefined_length = True
    header["PixelData"].VR = "OB"
    header.PhotometricInterpretation = kind
    data = io.BytesIO()
    header.save_as(data, enforce_file_format=True)
    return data.getvalue()


def without_preamble(pixels: np.ndarray) -> bytes:
    """A file of elements alone, in the default transfer syntax, as old exports are."""
    header = pydicom.dcmread(io.BytesIO(dicom_file(pixels)))
    del header.file_meta
    header.preamble = None
    data = io.BytesIO()
    pydicom.dcmwrite(data, header, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return data.getvalue()
