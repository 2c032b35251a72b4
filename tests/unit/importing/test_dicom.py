import io

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import dicom, manifest, reader
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.importing import importer
from tests.source_files import GREY, as_csv, encoded, folder
from tests.source_files import dicom_file as made

pydicom = pytest.importorskip("pydicom")


def region(x, y, units=3, form=1):
    from pydicom.dataset import Dataset

    one = Dataset()
    one.RegionSpatialFormat = form
    one.PhysicalUnitsXDirection = one.PhysicalUnitsYDirection = units
    one.PhysicalDeltaX, one.PhysicalDeltaY = x, y
    return one


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(dicom.DicomFile(data, "x").png(0))))


def test_grey_stays_as_it_is():
    data = made()
    assert dicom.is_dicom(data)
    assert not dicom.is_dicom(encoded())
    np.testing.assert_array_equal(pixels_of(data), GREY)


def test_inverted_grey_is_turned_round():
    np.testing.assert_array_equal(pixels_of(made(kind="MONOCHROME1")), 255 - GREY)


def test_colour_stays_as_it_is():
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(pixels_of(made(rgb, "RGB")), rgb)


def test_luma_and_chroma_become_rgb():
    rgb = np.tile(np.array([[200, 30, 60]], np.uint8), (4, 4, 1)).reshape(4, 4, 3)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    assert np.abs(pixels_of(made(ybr, "YBR_FULL")).astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_bits_are_scaled_to_eight(bits):
    top = 2**bits - 1
    wide = np.array([[0, top // 2, top]], np.uint16)
    np.testing.assert_array_equal(pixels_of(made(wide, bits=bits)), [[0, 127, 255]])


def test_signed_greys_begin_at_their_lowest():
    wide = np.array([[-2048, 0, 2047]], np.int16)
    np.testing.assert_array_equal(pixels_of(made(wide, bits=12)), [[0, 128, 255]])


@pytest.mark.parametrize(
    ("elements", "millimetres"),
    [
        ({}, 0),
        ({"PixelSpacing": [0.07, 0.07]}, 0.07),
        ({"PixelSpacing": [0.07, 0.09]}, 0),
        ({"SequenceOfUltrasoundRegions": [region(0.008, 0.008)]}, 0.08),
        ({"SequenceOfUltrasoundRegions": [region(0.008, -0.008)]}, 0.08),
        ({"SequenceOfUltrasoundRegions": [region(0.008, 0.008), region(0.004, 0.004)]}, 0),
        ({"SequenceOfUltrasoundRegions": [region(0.008, 0.008), region(9, 9, form=2)]}, 0.08),
        ({"SequenceOfUltrasoundRegions": [region(0.008, 0.008, units=4)]}, 0),
    ],
)
def test_the_side_of_a_pixel(elements, millimetres):
    assert reader.open_image(made(**elements), "x").pixel_mm == pytest.approx(millimetres)


def test_the_patient():
    assert reader.open_image(made(PatientID=" P 7 "), "x").patient == "P 7"
    assert reader.open_image(made(), "x").patient == ""


def test_more_frames_than_one_are_refused():
    data = made(NumberOfFrames=2, PixelData=GREY.tobytes() * 2)
    with pytest.raises(InvalidDataError, match=r"a\.dcm has 2 frames, expected a single image"):
        reader.decode_file(data, "a.dcm")


def test_a_header_that_promises_too_much_is_refused():
    with pytest.raises(InvalidDataError, match=r"60000 × 60000 pixels"):
        reader.open_image(made(Rows=60000, Columns=60000), "a.dcm")


@pytest.mark.parametrize("keep", [132, 200, -3])
def test_a_broken_file_is_refused_in_one_line(keep):
    with pytest.raises(InvalidDataError, match=r"a\.dcm ") as caught:
        reader.decode_file(made()[:keep], "a.dcm")
    assert "\n" not in str(caught.value)


def test_any_damage_is_refused_or_read():
    whole = made(PatientID="P")
    for at in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        try:
            reader.decode_file(bytes(damaged), "x")
        except InvalidDataError:
            continue


def test_without_pydicom_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ConfigError, match="pip install pydicom"):
        reader.open_image(made(), "a.dcm")


def test_a_table_of_dicom_knows_what_its_files_know_and_goes_before_them(tmp_path):
    spaced = {"PatientID": "P", "PixelSpacing": [0.07, 0.07]}
    white = np.full((2, 3), 255, np.uint8)
    rows = [
        ("1/IM1", "benign", "m.dcm", "", ""),
        ("2/IM1.dcm", "malignant", "m.dcm", "anna", "0.1"),
    ]
    files = {
        "t.csv": as_csv(("image", "label", "mask", "patient", "pixel_mm"), rows),
        "1/IM1": made(**spaced), "2/IM1.dcm": made(255 - GREY, **spaced), "m.dcm": made(white),
    }  # fmt: skip
    raw = tmp_path / "data" / "mine" / "raw"
    importer.lay_out(folder(tmp_path / "s", files) / "t.csv", raw)
    first, second = manifest.build(raw)
    assert (first.image, first.patient, first.pixel_mm) == ("benign/1_IM1.png", "P", 0.07)
    assert (second.image, second.patient) == ("malignant/2_IM1.png", "anna")
    assert second.pixel_mm == 0.1
    assert (first.mask_pixels, first.masks_match, first.error) == (6, True, "")
