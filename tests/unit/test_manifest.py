from collections import Counter

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import manifest


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def raw(tmp_path):
    save(tmp_path / "benign/a.png", np.full((4, 6), 100, np.uint8))
    save(tmp_path / "benign/a_mask.png", np.pad(np.full((1, 2), 255, np.uint8), ((0, 3), (0, 4))))
    save(tmp_path / "benign/a_mask_1.png", np.pad(np.full((1, 3), 255, np.uint8), ((0, 3), (1, 2))))
    return tmp_path


def test_a_good_image(raw):
    (record,) = manifest.build(raw)
    assert (record.image, record.name, record.label) == ("benign/a.png", "a", "benign")
    assert (record.width, record.height, record.mode) == (6, 4, "L")
    assert record.mask_pixels == 4  # columns 0-1 and 1-3
    assert record.masks_match
    assert record.mask_values == ""
    assert (record.intensity_mean, record.intensity_std) == (100, 0)
    assert (record.bit_depth, record.dark_share, record.saturated_share) == (8, 0, 0)
    assert (record.colour_share, record.marks) == (0, 0)
    assert (record.mask_parts, record.mask_smallest) == (1, 4)
    assert record.mask_border == 0.25  # 4 of 16
    assert (record.group, record.excluded, record.error) == ("benign/a.png", "", "")


def test_a_broken_image_is_a_row(raw):
    (raw / "benign/a.png").write_bytes(b"no image")
    (record,) = manifest.build(raw)
    assert record.error.startswith("benign/a.png can't be decoded")
    assert (record.width, record.pixel_sha256, record.masks_match) == (0, "", False)
    assert record.mask_pixels == 4


def test_a_broken_mask_is_a_row_with_the_image_s_facts(raw):
    (raw / "benign/a_mask.png").write_bytes(b"no image")
    (record,) = manifest.build(raw)
    assert record.error.startswith("benign/a_mask.png can't be decoded")
    assert record.pixel_sha256
    assert not record.masks_match


def test_a_mask_of_another_size(raw):
    save(raw / "benign/a_mask.png", np.zeros((5, 6), np.uint8))
    (record,) = manifest.build(raw)
    assert not record.masks_match
    assert (record.mask_pixels, record.mask_parts) == (0, 0)  # two masks, not of one size


def test_a_grey_mask(raw):
    save(raw / "benign/a_mask.png", np.full((4, 6), 254, np.uint8))
    (record,) = manifest.build(raw)
    assert record.masks_match
    assert record.mask_values == "254"


def test_orphans_and_unknown_classes_are_rows(raw):
    save(raw / "benign/lost_mask.png", np.zeros((4, 6), np.uint8))
    save(raw / "cyst/c.png", np.zeros((4, 6), np.uint8))
    save(raw / "cyst/c_mask.png", np.zeros((4, 6), np.uint8))
    records = manifest.build(raw)
    assert [record.image for record in records] == [
        "benign/a.png",
        "benign/lost_mask.png",
        "cyst/c.png",
    ]
    assert "mask without an image" in records[1].error
    assert records[2].label == "cyst"


@pytest.mark.slow
@pytest.mark.long
def test_the_real_set(busi):
    records = manifest.build(busi)
    assert Counter(r.label for r in records) == {"benign": 437, "malignant": 210, "normal": 133}
    assert all(r.masks_match and not r.mask_values and not r.error for r in records)
    assert all((r.mask_pixels == 0) == (r.label == "normal") for r in records)
    assert min(r.width for r in records) == 190
    assert max(r.width for r in records) == 1048
    marked = Counter(r.label for r in records if r.marks)
    assert marked == {"benign": 169, "malignant": 56, "normal": 7}
    coloured = {r.name for r in records if r.colour_share > 0.005}
    doppler = {f"benign ({n})" for n in (6, 13, 102, 234, 240, 255, 261, 277, 323, 330)}
    assert coloured == doppler | {"malignant (196)"}
    assert max(r.mask_border for r in records) < 0.04


def test_a_normal_may_come_without_a_mask(tmp_path):
    folder = tmp_path / "normal"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(folder / "a.png")
    record = manifest.build(tmp_path)[0]
    assert (record.error, record.masks, record.mask_pixels) == ("", (), 0)
    assert record.masks_match
    assert record.mask_values == ""
