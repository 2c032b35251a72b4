from pathlib import PurePosixPath

import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing.formats import busi


def planned(*names):
    return {
        str(p.source): (p.label, p.stem, [str(mask) for mask in p.masks])
        for p in busi.plan({PurePosixPath(name): lambda *_: b"" for name in names})
    }


def test_masks_beside_their_image_in_order():
    masks = ["s/Benign/a_mask.png", *(f"s/Benign/a_mask_{n}.png" for n in (1, 2, 10))]
    assert planned("s/Benign/a.png", *sorted(masks)) == {"s/Benign/a.png": ("benign", "a", masks)}


def test_images_and_masks_in_folders_of_their_own():
    assert planned(
        "x/benign/images/a.png",
        "x/benign/mask/a.png",
        "x/malignant/images/a.png",
        "x/malignant/Masks/a_mask.png",
        "x/malignant/Masks/a_mask_1.png",
        "x/normal/images/a.jpg",
    ) == {
        "x/benign/images/a.png": ("benign", "a", ["x/benign/mask/a.png"]),
        "x/malignant/images/a.png": (
            "malignant", "a", ["x/malignant/Masks/a_mask.png", "x/malignant/Masks/a_mask_1.png"]
        ),
        "x/normal/images/a.jpg": ("normal", "a", []),
    }  # fmt: skip


def test_the_class_may_lie_below_images_and_masks_too():
    found = planned("images/benign/a.png", "masks/benign/a.png")
    assert found == {"images/benign/a.png": ("benign", "a", ["masks/benign/a.png"])}


def test_masks_are_not_shared_between_classes():
    found = planned("benign/a.png", "benign/a_mask.png", "malignant/a.png")
    assert found["malignant/a.png"] == ("malignant", "a", [])


def test_masks_without_an_image_are_named_ten_at_most():
    masks = [f"benign/mask/{number:02}.png" for number in range(12)]
    with pytest.raises(InvalidDataError, match=r"09\.png and 2 more are without an image"):
        planned("benign/images/a.png", *masks)
