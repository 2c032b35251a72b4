import numpy as np
import pytest
from PIL import Image

from hgmnet.data import folder_layout, masks
from hgmnet.errors import InvalidDataError


def save(path, pixels, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def touch(raw, *names):
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).touch()


def test_masks_go_with_their_image(tmp_path):
    touch(tmp_path, "benign/a (1).png", "benign/a (1)_mask.png", "benign/a (1)_mask_1.png")
    touch(tmp_path, "benign/a (10).png", "benign/a (10)_mask.png")
    first, tenth = folder_layout.scan(tmp_path)
    assert (first.image, first.label, first.error) == ("benign/a (1).png", "benign", "")
    assert first.masks == ("benign/a (1)_mask.png", "benign/a (1)_mask_1.png")
    assert tenth.masks == ("benign/a (10)_mask.png",)


def test_what_is_no_image_is_passed_over(tmp_path):
    touch(tmp_path, "benign/a.png", "benign/a_mask.png")
    touch(tmp_path, "benign/Thumbs.db", ".DS_Store", "benign/._a.png", "__MACOSX/benign/b.png")
    assert [sample.image for sample in folder_layout.scan(tmp_path)] == ["benign/a.png"]


@pytest.mark.parametrize(
    ("files", "image", "error"),
    [
        (["benign/a_mask.png"], "benign/a_mask.png", "mask without an image"),
        (["a.png", "a_mask.png"], "a.png", "outside a class folder"),
        (["benign/x/a.png", "benign/x/a_mask.png"], "benign/x/a.png", "outside a class folder"),
        (
            ["benign/a.png", "benign/a.JPG", "benign/a_mask.png"],
            "benign/a.JPG",
            "shares the name a",
        ),
        (["benign/a|b.png", "benign/a|b_mask.png"], "benign/a|b.png", "has a |"),
    ],
)
def test_what_is_wrong_is_said_of_the_image(tmp_path, files, image, error):
    touch(tmp_path, *files)
    sample = next(sample for sample in folder_layout.scan(tmp_path) if sample.image == image)
    assert error in sample.error


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(InvalidDataError, match=r"contains no image; expected <class>/<name>\.png"):
        folder_layout.scan(tmp_path)


def test_a_missing_folder_says_import(tmp_path):
    with pytest.raises(InvalidDataError, match="hgmnet import"):
        folder_layout.scan(tmp_path / "raw")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_masks_are_united(tmp_path, mode):
    left = save(tmp_path / "1.png", np.array([[255, 0, 0], [0, 0, 0]], np.uint8), mode)
    right = save(tmp_path / "2.png", np.array([[0, 0, 255], [0, 0, 0]], np.uint8), mode)
    mask = masks.read_mask([left, right])
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, [[True, False, True], [False, False, False]])


def test_the_threshold_is_above_127(tmp_path):
    path = save(tmp_path / "1.png", np.array([[127, 128]], np.uint8))
    np.testing.assert_array_equal(masks.read_mask([path]), [[False, True]])


def test_a_mask_of_ones_is_not_read_as_empty(tmp_path):
    path = save(tmp_path / "1.png", np.array([[0, 1]], np.uint8))
    with pytest.raises(InvalidDataError, match=r"1\.png holds 0 and 1; expected 0 and 255"):
        masks.read_mask([path])


def test_masks_of_two_sizes_are_refused(tmp_path):
    paths = [save(tmp_path / f"{n}.png", np.zeros((n, 4), np.uint8)) for n in (2, 3)]
    with pytest.raises(InvalidDataError, match=r"3\.png is 4 × 3, 2\.png 4 × 2"):
        masks.read_mask(paths)


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(InvalidDataError, match=r"gone\.png is missing"):
        masks.read_mask([tmp_path / "gone.png"])


def test_the_real_set(busi):
    from hgmnet.data.folder_layout import scan
    from hgmnet.data.masks import read_mask

    samples = scan(busi)
    assert len(samples) == 780
    assert not [sample for sample in samples if sample.error]
    assert sum(len(sample.masks) > 1 for sample in samples) == 17
    three = next(sample for sample in samples if sample.image == "benign/benign (195).png")
    assert len(three.masks) == 3
    single = [read_mask([busi / path]) for path in three.masks]
    np.testing.assert_array_equal(
        read_mask([busi / path for path in three.masks]), np.logical_or.reduce(single)
    )
