"""Images that are decoded wrongly, or in part, without a warning."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1

from hgmnet.data import images, manifest, metadata
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.images import Grey
from hgmnet.data.reader import decode_file, frames_of, open_image
from hgmnet.errors import HgmnetError
from hgmnet.importing import importer
from hgmnet.importing.importer import AS_IT_IS, ImportOptions
from tests.dicom_files import compressed, without_preamble
from tests.source_files import Files, dicom_file, folder

NEAR = 25
"""Largest error that JPEG may cause in a pixel, in greys of 255."""
TURNS = {3: 180, 6: 90, 8: 270}
"""EXIF orientation -> degrees by which the stored image is turned."""
_SMALL = np.random.default_rng(0).integers(20, 200, (12, 16), np.uint8)
SCAN = np.asarray(Image.fromarray(_SMALL).resize((128, 96), Image.Resampling.BILINEAR))
COLOUR = np.repeat(SCAN[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL_422"])
def test_a_jpeg_in_dicom_that_says_its_colours_is_read(kind: str) -> None:
    grey = grey_of_dicom(compressed(COLOUR, jpeg(COLOUR), JPEGBaseline8Bit, kind))
    assert off(grey) <= NEAR


def test_a_jpeg_in_dicom_that_does_not_say_them_is_read_by_the_header() -> None:
    frame = without_marker(jpeg(COLOUR))
    grey = grey_of_dicom(compressed(COLOUR, frame, JPEGBaseline8Bit, "YBR_FULL_422"))
    assert off(grey) <= NEAR


def test_a_jpeg_in_dicom_whose_header_calls_it_rgb_wrongly_is_read_or_refused() -> None:
    """As old scanners wrote it: neither a JFIF nor an Adobe marker in the JPEG."""
    frame = without_marker(jpeg(COLOUR))
    data = compressed(COLOUR, frame, JPEGBaseline8Bit, "RGB")
    refusal, grey = decoded(lambda: grey_of_dicom(data, "old scanner.dcm"))
    assert "old scanner.dcm" in refusal or off(grey) <= NEAR


@pytest.mark.parametrize(
    ("kind", "orientation"), [("JPEG", 1), ("PNG", 1), *(("TIFF", turned) for turned in TURNS)]
)
def test_an_image_that_lies_upright_and_a_turned_tiff_are_as_viewers_show_them(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    came = photographed(kind, orientation, tmp_path)
    assert not came.refused
    assert upright(came)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_turned_image_is_taken_in_as_viewers_show_it_or_refused(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    came = photographed(kind, orientation, tmp_path)
    assert f"a.{kind.lower()}" in came.refused or upright(came)


def test_a_tiff_of_one_page_is_read_and_both_lesions_of_a_mask(tmp_path: Path) -> None:
    both = np.maximum(disc(), disc(y=70, x=95))
    files = {"benign/a.tif": pages(SCAN), "benign/a_mask.tif": pages(both)}
    came = imported(files, tmp_path)
    assert not came.refused
    np.testing.assert_array_equal(came.greys["benign/a.png"], SCAN)
    assert came.records["benign/a.png"].mask_parts == 2
    frames = dicom_file(SCAN, NumberOfFrames=2, PixelData=SCAN.tobytes() * 2)
    refusal, _ = decoded(lambda: grey_of_dicom(frames, "cine.dcm"))
    assert "cine.dcm has 2 frames" in refusal


def test_a_tiff_of_several_frames_is_not_imported_by_its_first(tmp_path: Path) -> None:
    cine = pages(SCAN, 255 - SCAN, SCAN // 2)
    came = imported({"benign/a.tif": cine, "benign/a_mask.png": encoded(disc())}, tmp_path)
    assert "a.tif" in came.refused


def test_a_tiff_of_several_frames_is_not_answered_by_its_first() -> None:
    cine = pages(*(np.full((100, 100), grey, np.uint8) for grey in range(5)))
    refusal, _ = decoded(lambda: images.decode_grey(cine, "cine.tif"))
    assert "cine.tif" in refusal


def test_a_mask_with_one_lesion_per_page_keeps_both_or_is_refused(tmp_path: Path) -> None:
    mask = pages(disc(), disc(y=70, x=95))
    came = imported({"benign/a.png": encoded(SCAN), "benign/a_mask.tif": mask}, tmp_path)
    assert "a_mask.tif" in came.refused or came.records["benign/a.png"].mask_parts == 2


def wide_png(wide: np.ndarray) -> Grey:
    return images.decode_grey(encoded(wide), "a.png")


def wide_tiff(wide: np.ndarray) -> Grey:
    return images.decode_grey(encoded(wide, "TIFF"), "a.tif")


def wide_dicom(wide: np.ndarray) -> Grey:
    """Its header says 16 bits, and its window that 12 of them are used."""
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    return grey_of_dicom(dicom_file(wide, bits=16, **window), "a.dcm")


WAYS = pytest.mark.parametrize("way", [wide_png, wide_tiff, wide_dicom])


@pytest.mark.parametrize("way", [wide_png, wide_tiff])
def test_sixteen_bits_in_full_use_keep_their_greys(way: Callable[[np.ndarray], Grey]) -> None:
    np.testing.assert_array_equal(way(SCAN.astype(np.uint16) * 257), SCAN)


def test_dicom_that_says_twelve_bits_keeps_its_greys() -> None:
    grey = grey_of_dicom(dicom_file(SCAN.astype(np.uint16) * 16, bits=12))
    assert off(grey) <= 1


@WAYS
def test_twelve_bits_in_sixteen_are_seen_or_refused(way: Callable[[np.ndarray], Grey]) -> None:
    refusal, grey = decoded(lambda: way(SCAN.astype(np.uint16) * 16))
    assert "a." in refusal or grey.max() >= 64


def test_a_compressed_grey_dicom_is_read() -> None:
    grey = grey_of_dicom(compressed(SCAN, jpeg(SCAN), JPEGBaseline8Bit, "MONOCHROME2"))
    assert off(grey) <= NEAR


def test_a_compression_that_can_not_be_decoded_is_refused_in_a_whole_line() -> None:
    """No decoder reads these bytes, even if one for JPEG Lossless is installed."""
    frame = b"\xff\xd8\xff\xc3" + bytes(64)
    data = compressed(SCAN, frame, JPEGLosslessSV1, "MONOCHROME2")
    refusal, _ = decoded(lambda: grey_of_dicom(data, "a.dcm"))
    assert refusal.startswith("a.dcm")
    assert "\n" not in refusal
    assert "pixel da;" not in refusal


def test_a_dicom_file_that_a_table_names_is_imported(tmp_path: Path) -> None:
    came = imported({"1.dcm": dicom_file(SCAN), "t.csv": b"image,label\n1.dcm,normal\n"}, tmp_path)
    assert not came.refused
    np.testing.assert_array_equal(came.greys["normal/1.png"], SCAN)


def test_dicom_without_a_preamble_is_read_or_called_dicom(tmp_path: Path) -> None:
    files = {"1.dcm": without_preamble(SCAN), "t.csv": b"image,label\n1.dcm,normal\n"}
    came = imported(files, tmp_path)
    assert "DICOM" in came.refused or np.array_equal(came.greys.get("normal/1.png", 0), SCAN)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_a_turned_image_is_answered_upright_and_its_mask_is_turned_too(kind: str) -> None:
    data = turned(SCAN, kind, 6)
    assert off(decode_file(data, "a").grey) <= NEAR
    mask = images.decode_mask(turned(disc(), kind, 6), "a")
    np.testing.assert_array_equal(mask > 127, disc() > 127)


def test_an_imported_mask_lies_as_its_image(tmp_path: Path) -> None:
    files = {
        "benign/a.webp": turned(SCAN, "WEBP", 3),
        "benign/a_mask.png": turned(disc(), "PNG", 3),
    }
    came = imported(files, tmp_path)
    raw = tmp_path / "data/mine/raw/benign"
    assert upright(came)
    np.testing.assert_array_equal(np.asarray(Image.open(raw / "a_mask.png")), disc())


def test_a_smaller_copy_in_a_tiff_is_no_frame() -> None:
    """As slides and photographs have it: NewSubfileType 1."""
    small = Image.fromarray(SCAN).resize((32, 24))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    data = encoded(SCAN, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode_file(data, "a.tif").grey, SCAN)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "DICOM"])
def test_each_way_to_take_a_clip_in(kind: str, tmp_path: Path) -> None:
    data = clip(kind)
    name = {"benign/a": data}
    refused = imported(name, tmp_path / "none").refused
    assert "benign/a has 4 frames" in refused
    assert "--frames first, middle or all" in refused
    for frames, levels in {"first": [40], "middle": [120], "all": [40, 80, 120, 160]}.items():
        came = imported(name, tmp_path / frames, ImportOptions(frames=frames))
        assert [int(grey.mean()) for _, grey in sorted(came.greys.items())] == pytest.approx(
            levels, abs=2
        )
    assert sorted(came.greys) == [f"benign/a_f000{number}.png" for number in range(1, 5)]
    known = metadata.words(tmp_path / "all" / "data/mine/raw")
    assert {words[metadata.CLIP] for words in known.values()} == {"benign/a"}
    answers = [int(one.grey.mean()) for one in frames_of(open_image(data, "a"))]
    assert answers == pytest.approx([40, 80, 120, 160], abs=2)


def test_a_clip_has_a_mask_per_frame_or_is_refused(tmp_path: Path) -> None:
    files = {"benign/a.tif": clip("TIFF"), "benign/a_mask.tif": pages(*[disc(x=x) for x in XS])}
    for frames, masked in {"middle": XS[2:3], "all": XS}.items():
        imported(files, tmp_path / frames, ImportOptions(frames=frames))
        found = sorted((tmp_path / frames).rglob("*_mask.png"))
        for path, x in zip(found, masked, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(path)), disc(x=x))
    one = {**files, "benign/a_mask.tif": encoded(disc(), "TIFF")}
    refused = imported(one, tmp_path / "one", ImportOptions(frames="all")).refused
    assert "a_mask.tif has 1 frames, its image 4" in refused


def test_a_set_of_twelve_bits_keeps_one_contrast(tmp_path: Path) -> None:
    """The darker image stays darker: both are scaled by the depth that holds the whole set."""
    wide = SCAN.astype(np.uint16) * 16
    files = {"benign/a.png": encoded(wide), "benign/b.png": encoded(wide // 8)}
    came = imported(files, tmp_path)
    assert not came.refused
    assert off(came.greys["benign/a.png"]) <= 1
    assert np.abs(came.greys["benign/b.png"].astype(int) - SCAN // 8).max() <= 1


def test_a_declared_depth_is_used_and_a_wrong_one_is_refused() -> None:
    wide = SCAN.astype(np.uint16) * 16
    assert off(decode_file(encoded(wide), "a.png", bits=12).grey) <= 1
    sixteen = dicom_file(wide, bits=16)
    assert off(decode_file(sixteen, "a.dcm", bits=12).grey) <= 1
    for data in (encoded(wide), sixteen):
        refusal, _ = decoded(lambda data=data: decode_file(data, "a.png", bits=8).grey)
        assert "a.png has values up to" in refusal
    maximum = encoded(wide, "TIFF", tiffinfo={281: 4095})
    assert off(decode_file(maximum, "a.tif").grey) <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_of_sixteen_bits_that_use_twelve_are_refused(kind: str) -> None:
    import cv2

    wide = np.repeat(SCAN[..., None].astype(np.uint16) * 16, 3, 2)
    data = cv2.imencode(f".{kind.lower()}", wide)[1].tobytes()
    refusal, _ = decoded(lambda: images.decode_grey(data, "a"))
    assert "colours of 16 bits" in refusal
    full = cv2.imencode(f".{kind.lower()}", wide * 16)[1].tobytes()
    assert off(images.decode_grey(full, "a")) <= 1


XS = [30, 50, 70, 90]


def clip(kind: str) -> bytes:
    """Four frames, each of one grey."""
    levels = [np.full((96, 128), grey, np.uint8) for grey in (40, 80, 120, 160)]
    if kind == "DICOM":
        pixels = np.stack(levels).tobytes()
        return dicom_file(levels[0], NumberOfFrames=4, PixelData=pixels)
    more = {"lossless": True} if kind == "WEBP" else {}
    return encoded(levels[0], kind, save_all=True, append_images=levels[1:], **more)


def turned(pixels: np.ndarray, kind: str, orientation: int) -> bytes:
    """The picture as a camera stores it; a viewer turns it back."""
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = Image.fromarray(pixels).rotate(TURNS.get(orientation, 0), expand=True)
    return encoded(
        np.asarray(stored), kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})
    )


@dataclass(frozen=True)
class Came:
    """Result of an import: why something was refused (empty if nothing was), and the images."""

    refused: str
    records: dict[str, ImageRecord]
    greys: dict[str, Grey]


def imported(files: Files, top: Path, options: ImportOptions = AS_IT_IS) -> Came:
    """Import files as a data set, and read it; a table among them is recognised."""
    raw = top / "data" / "mine" / "raw"
    try:
        importer.lay_out(folder(top / "source", files), raw, options=options)
    except HgmnetError as error:
        return Came(str(error).replace(str(top), ""), {}, {})
    records = {record.image: record for record in manifest.build(raw)}
    greys = {name: images.read_grey(raw, name) for name, one in records.items() if not one.error}
    refused = "; ".join(record.error for record in records.values() if record.error)
    return Came(refused, records, greys)


def photographed(kind: str, orientation: int, top: Path) -> Came:
    """Import the scan as a camera stores it, with a mask that fits what viewers show."""
    image = f"benign/a.{kind.lower()}"
    data = turned(SCAN, kind, orientation)
    return imported({image: data, "benign/a_mask.png": encoded(disc())}, top)


def upright(came: Came) -> bool:
    return off(came.greys["benign/a.png"]) <= NEAR and came.records["benign/a.png"].masks_match


def decoded(call: Callable[[], Grey]) -> tuple[str, Grey]:
    """Why it was refused, with one black pixel; or an empty text and the greys."""
    try:
        return "", call()
    except HgmnetError as error:
        return str(error), np.zeros((1, 1), np.uint8)


def grey_of_dicom(data: bytes, name: str = "a.dcm") -> Grey:
    return decode_file(data, name).grey


def off(grey: Grey) -> int:
    """The largest error of a pixel of the scan, in greys of 255; 255 if the size differs."""
    if grey.shape != SCAN.shape:
        return 255
    return int(np.abs(grey.astype(int) - SCAN).max())


def jpeg(pixels: np.ndarray) -> bytes:
    colours = {"subsampling": "4:2:2"} if pixels.ndim == 3 else {}
    return encoded(pixels, "JPEG", quality=95, **colours)


def without_marker(frame: bytes) -> bytes:
    """The JPEG without its JFIF marker, by which decoders know that it holds luma and chroma."""
    if frame[2:4] != b"\xff\xe0":
        raise ValueError("the JPEG does not begin with the JFIF marker")
    return frame[:2] + frame[4 + int.from_bytes(frame[4:6], "big") :]


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    others = options.get("append_images", ())
    options |= {"append_images": list(map(as_image, others))} if others else {}
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def as_image(pixels: np.ndarray | Image.Image) -> Image.Image:
    return pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)


def pages(first: np.ndarray, *others: np.ndarray) -> bytes:
    """A TIFF of several pages."""
    more = {"save_all": True, "append_images": others}
    return encoded(first, "TIFF", **more)


def disc(y: int = 30, x: int = 40, radius: int = 15) -> np.ndarray:
    rows, columns = np.mgrid[:96, :128]
    return np.where((rows - y) ** 2 + (columns - x) ** 2 < radius**2, 255, 0).astype(np.uint8)
