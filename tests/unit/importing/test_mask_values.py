"""Masks of other values than 0 and 255: refused with their values, or read as the options state."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hgmnet.cli.main import build_parser
from hgmnet.importing import importer
from hgmnet.importing.importer import ImportOptions
from hgmnet.importing.mask_reader import MaskOptions
from pipelines.cli.main import COMMANDS
from tests.source_files import folder, refused

SHAPE = np.zeros((40, 60), np.uint8)
SHAPE[10:30, 20:40] = 1


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str = "") -> bytes:
    data = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(data, kind)
    return data.getvalue()


def with_alpha(grey: int) -> bytes:
    pixels = np.full((*SHAPE.shape, 4), grey, np.uint8)
    pixels[..., 3] = 255 * SHAPE
    return encoded(pixels)


def soft(kind: str) -> bytes:
    """A round lesion, as JPEG blurs it."""
    image = Image.new("L", SHAPE.shape[::-1])
    ImageDraw.Draw(image).ellipse((10, 5, 45, 35), fill=255)
    data = io.BytesIO()
    image.save(data, kind, quality=60)
    return data.getvalue()


def source(top: Path, mask: bytes, name: str = "a_mask.png") -> Path:
    scan = np.arange(2400, dtype=np.uint32).astype(np.uint8).reshape(SHAPE.shape)
    return folder(top / "s", {"benign/a.png": encoded(scan), f"benign/{name}": mask})


KINDS = {
    "ones": (encoded(SHAPE), "hold 0, 1; .*--mask-values 1, labels", MaskOptions(values=(1,))),
    "half": (encoded(SHAPE * 128), "hold 0, 128; .*-values 128,", MaskOptions(threshold=127)),
    "labels": (
        encoded(SHAPE + SHAPE * (np.arange(60) > 30)),
        "hold 0, 1, 2; .*--mask-values 1,2,",
        MaskOptions(threshold=0),
    ),
    "16 bits": (
        encoded(SHAPE.astype(np.uint16) * 3),
        "hold 0, 3; .*--mask-values 3,",
        MaskOptions(values=(3,)),
    ),
    "red": (
        encoded(np.dstack([SHAPE * 255, SHAPE * 0, SHAPE * 0])),
        "hold 0, 76; .*--mask-values 76",
        MaskOptions(values=(76,)),
    ),
    "white alpha": (with_alpha(255), "in their transparency.*alpha", MaskOptions(alpha=True)),
    "black alpha": (with_alpha(0), "in their transparency.*alpha", MaskOptions(alpha=True)),
    "inverted": (
        encoded(1 - SHAPE),
        "hold 0, 1",
        MaskOptions(values=(1,), invert=True),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_values_are_named_and_read_as_stated(kind: str, raw: Path, tmp_path: Path) -> None:
    mask, message, options = KINDS[kind]
    theirs = source(tmp_path, mask)
    refused(theirs, rf"benign/a_mask\.png: .*{message}", raw)
    importer.lay_out(theirs, raw, options=ImportOptions(masks=options))
    written = np.asarray(Image.open(raw / "benign/a_mask.png"))
    np.testing.assert_array_equal(written, 255 * SHAPE)


def test_grey_edges_are_cut_where_stated(raw: Path, tmp_path: Path) -> None:
    theirs = source(tmp_path, soft("JPEG"), "a_mask.jpg")
    refused(theirs, r"255 \(\d+ values\); .*--mask-values labels\), .*--mask-threshold 127", raw)
    importer.lay_out(theirs, raw, options=ImportOptions(masks=MaskOptions(threshold=127)))
    found = np.asarray(Image.open(raw / "benign/a_mask.png")) > 0
    true = np.asarray(Image.open(io.BytesIO(soft("PNG")))) > 127
    assert (found != true).mean() < 0.02


def test_black_and_white_is_copied_unless_an_option_is_given(raw: Path, tmp_path: Path) -> None:
    mask = encoded(255 * SHAPE, mode="1")
    importer.lay_out(source(tmp_path, mask), raw)
    assert (raw / "benign/a_mask.png").read_bytes() == mask
    inverted = ImportOptions(masks=MaskOptions(invert=True))
    importer.lay_out(source(tmp_path, mask), raw, options=inverted)
    np.testing.assert_array_equal(Image.open(raw / "benign/a_mask.png"), 255 * (1 - SHAPE))


def test_a_transparent_black_mask_of_a_normal_is_one(raw: Path, tmp_path: Path) -> None:
    theirs = source(tmp_path, encoded(np.zeros((*SHAPE.shape, 4), np.uint8)))
    assert importer.lay_out(theirs, raw).masks == 1


def test_all_masks_are_named_ten_at_most(raw: Path, tmp_path: Path) -> None:
    masks = {f"benign/{n:02}_mask.png": encoded(SHAPE * (n + 1)) for n in range(12)}
    scans = {name.replace("_mask", ""): encoded(SHAPE) for name in masks}
    theirs = folder(tmp_path / "s", masks | scans)
    refused(theirs, r"09_mask\.png and 2 more: .*hold 0, 1, 2, 3, .* 12 \(13 values\)", raw)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("labels", {"threshold": 0}), ("alpha", {"alpha": True}), ("1,2", {"values": (1, 2)})],
)
def test_the_option(text: str, parsed: dict[str, object]) -> None:
    parser = build_parser(COMMANDS, ["import"])
    args = parser.parse_args(["import", "mine", "x", "--mask-values", text])
    assert args.mask_values == parsed
    with pytest.raises(SystemExit):
        parser.parse_args(["import", "mine", "x", "--mask-values", "white"])
