"""Masks in a folder of their own, of any name, are found by pairing and by their content."""

import io
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from hgmnet.data.folder_layout import scan
from hgmnet.data.image_files import find, find_in
from hgmnet.importing import importer
from hgmnet.prediction.files import find_files
from tests.source_files import Files, folder


def picture(seed: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    grey = np.random.default_rng(seed).integers(20, 200, (6, 8), np.uint8)
    Image.fromarray(grey).resize((64, 48), Image.Resampling.BILINEAR).save(data, kind)
    return data.getvalue()


def mask(seed: int, kind: str = "PNG", white: int = 255) -> bytes:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[10 : 20 + seed, 15:40] = white
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def pairs(images: str, masks: str, count: int = 4, kind: str = "PNG") -> dict[str, bytes]:
    """Images and masks by patterns of their paths."""
    scans = {images.format(n): picture(n) for n in range(count)}
    return scans | {masks.format(n): mask(n, kind) for n in range(count)}


LAYOUTS = [
    ("benign/images/{}.png", "benign/masks/{}.png"),
    ("images/benign/{}.png", "GT/benign/{}.png"),
    ("benign/{}.png", "benign_Mask/{}.png"),
    ("benign/{}.png", "benign/labels/{}.bmp"),
    ("benign/img/{}.png", "benign/ground truth/{}_gt.png"),
    ("x/benign/{}.png", "y/benign/{}_seg.png"),
    ("benign/{}.png", "benign/{}_Mask.png"),
    ("benign/Original/{}.png", "benign/GT/{}.jpg"),
]


@pytest.mark.parametrize(("images", "masks"), LAYOUTS)
def test_masks_are_paired_with_images(images: str, masks: str, raw: Path, tmp_path: Path) -> None:
    kind = {".jpg": "JPEG", ".bmp": "BMP"}.get(PurePosixPath(masks).suffix, "PNG")
    files = pairs(images, masks, kind=kind)
    source = folder(tmp_path / "s", files)
    found = find_in(source)
    assert [len(own) for own in found.images.values()] == [1] * 4
    assert {str(path) for path in found.images} == {images.format(n) for n in range(4)}
    assert len(find_files([str(source)]).images) == 4
    if kind != "JPEG":
        came = importer.lay_out(source, raw)
        assert (came.per_class, came.masks, came.unmasked) == ({"benign": 4}, 4, 0)


def test_each_class_has_its_own_masks(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for label in ("benign", "malignant"):
        files |= pairs(f"{label}/{{}}.png", f"{label}_GT/{{}}.png")
    for label in ("benign", "malignant"):
        files |= pairs(f"b/images/{label}/{{}}.png", f"b/truth/{label}/{{}}.png")
    found = find_in(folder(tmp_path / "s", files))
    assert len(found.images) == 16
    for image, (own,) in found.images.items():
        assert image.stem == own.stem
        assert {*image.parent.parts} & {*own.as_posix().replace("_GT", "").split("/")[:-1]}


def test_normals_need_no_mask_in_the_folder(tmp_path: Path) -> None:
    files = pairs("s/{}.png", "t/{}.png") | {"s/x.png": picture(9)}
    assert [len(own) for own in find_in(folder(tmp_path, files)).images.values()] == [1] * 4 + [0]


def test_scans_of_equal_names_stay_scans(tmp_path: Path) -> None:
    files = {f"{label}/{n}.png": picture(n) for label in ("a", "b") for n in range(3)}
    assert len(find_in(folder(tmp_path, files)).images) == 6
    files |= {"c/0.png": mask(0), "c/other.png": mask(1)}
    found = find_in(folder(tmp_path, files))
    assert len(found.images) == 8, "one of its files has no image"


def test_a_data_set_s_own_folder_goes_by_names_alone(tmp_path: Path) -> None:
    files: Files = {f"a/{n}.png": picture(n) for n in range(3)} | {"b/1.png": mask(1)}
    assert len(scan(folder(tmp_path, files))) == 4
    assert len(find_in(tmp_path).images) == 3


def test_three_files_of_a_folder_are_opened_at_most() -> None:
    opened = []

    def reader(data: bytes, name: str):
        def read(_: int) -> bytes:
            opened.append(name)
            return data

        return read

    files = {f"s/{n:03}.png": picture(n) for n in range(50)}
    files |= {f"t/{n:03}.png": mask(n % 9) for n in range(50)}
    found = find({PurePosixPath(name): reader(data, name) for name, data in files.items()})
    assert len(found.images) == 50
    assert opened == ["s/000.png", "t/000.png", "t/001.png", "t/002.png"]
