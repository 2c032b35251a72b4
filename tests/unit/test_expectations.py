"""Each rule fires on its own kind of breach, names the files, and on nothing else."""

from functools import partial

import great_expectations.expectations as gxe
import pandas as pd
import pytest

from hgmnet.config import Data, Validate
from hgmnet.data.duplicates import Pair
from hgmnet.data.manifest import Record
from pipelines.expectations import Rule, check, image_rules, image_table

DATA = Data(name="tiny", classes=("benign", "malignant", "normal"))
VALIDATE = Validate(min_side=64, min_per_class=2)


def record(image, **changes):
    label = image.split("/")[0]
    facts = {
        "image": image,
        "label": label,
        "masks": (image.replace(".png", "_mask.png"),),
        "width": 100,
        "height": 80,
        "mode": "RGB",
        "pixel_sha256": image,
        "mask_pixels": 0 if label == "normal" else 50,
        "masks_match": True,
        "masks_binary": True,
        "intensity_mean": 90.0,
        "intensity_std": 40.0,
        "patient": "",
        "pixel_mm": 0.0,
        "group": image,
        "excluded": "",
        "error": "",
    }
    return Record(**{**facts, **changes})


def good():
    return [record(f"{name}/{number}.png") for name in DATA.classes for number in range(3)]


def pair(first, second, kind):
    return Pair(first=first.image, second=second.image, kind=kind, score=9, transform="shift")


def broken(records, tmp_path):
    """The rules that do not hold, and the files that each names."""
    table = image_table(records, [])
    outcomes = check("images", table, "image", image_rules(DATA, VALIDATE), tmp_path / "docs")
    return {o.rule.meaning: dict(o.broken_by) for o in outcomes if not o.held}


def test_good_images_break_nothing(tmp_path):
    assert broken(good(), tmp_path) == {}


UNREAD = {
    "masks": (),
    "width": 0,
    "height": 0,
    "mask_pixels": 0,
    "masks_match": False,
    "masks_binary": False,
    "intensity_std": 0.0,
}
BREACHES = [
    ("can be read", "truncated", record("benign/a.png", error="truncated", **UNREAD)),
    ("benign, malignant, normal", "cyst", record("cyst/a.png", height=1, mask_pixels=0)),
    ("at least 64 px", "63", record("benign/b.png", height=63)),
    ("lesion class has a mask", "0", record("benign/c.png", masks=(), mask_pixels=0)),
    ("image's size", "False", record("benign/d.png", masks_match=False, mask_pixels=0)),
    ("0 and 255", "False", record("benign/e.png", masks_binary=False)),
    ("shows a lesion", "0", record("benign/f.png", mask_pixels=0)),
    ("class normal has a lesion", "7", record("normal/a.png", mask_pixels=7)),
    ("next to blank", "1.5", record("benign/g.png", intensity_std=1.5)),
]


def test_each_breach_is_named_by_its_rule_alone(tmp_path):
    found = broken([*good(), *(bad for _, _, bad in BREACHES)], tmp_path)
    assert len(found) == len(BREACHES)
    for words, value, bad in BREACHES:
        (meaning,) = [meaning for meaning in found if words in meaning]
        assert found[meaning] == {bad.image: value}


def test_a_normal_needs_no_mask(tmp_path):
    unmasked = record("normal/odd.png", masks=(), masks_match=False, masks_binary=False)
    assert broken([*good(), unmasked], tmp_path) == {}


def test_an_image_listed_twice(tmp_path):
    (found,) = broken([*good(), good()[0]], tmp_path).items()
    assert found == ("no image is listed twice", {"benign/0.png": "benign/0.png"})


def test_copies_with_contradictory_labels_are_a_warning(tmp_path):
    twins = [record("benign/odd.png"), record("malignant/odd.png")]
    outcomes = check(
        "images",
        image_table([*good(), *twins], [pair(*twins, "copy")]),
        "image",
        image_rules(DATA, VALIDATE),
        tmp_path / "docs",
    )
    (outcome,) = [o for o in outcomes if not o.held]
    assert outcome.rule.severity == "warning"
    both = "benign and malignant"
    assert outcome.broken_by == {"benign/odd.png": both, "malignant/odd.png": both}


def test_frames_of_one_scene_may_differ_in_their_labels():
    twins = [record("benign/odd.png", group="g"), record("malignant/odd.png", group="g")]
    table = image_table(twins, [pair(*twins, "scene")])
    assert list(table["copy_labels"]) == ["benign", "malignant"]


def test_only_usable_images_count_for_their_class(tmp_path):
    records = [r for r in good() if r.image not in {"benign/0.png", "benign/1.png"}]
    records.append(record("benign/3.png", excluded="withdrawn"))
    assert broken(records, tmp_path) == {"class benign has at least 2 usable images": {}}


def test_nothing_excluded_is_judged(tmp_path):
    curated = record("benign/odd.png", excluded="blurred", error="truncated", masks=(), height=3)
    assert broken([*good(), curated], tmp_path) == {}


def test_an_empty_table_breaks_the_counts_and_crashes_nothing(tmp_path):
    meanings = set(broken([], tmp_path))
    classes = {f"class {name} has at least 2 usable images" for name in DATA.classes}
    assert meanings == {"there is at least one image", *classes}


def test_all_breaches_are_named_not_only_the_first_twenty(tmp_path):
    many = [record(f"benign/odd{number:02}.png", mask_pixels=0) for number in range(40)]
    (files,) = broken([*good(), *many], tmp_path).values()
    assert list(files) == [bad.image for bad in many]


def test_an_expectation_that_crashes_is_a_bug_not_bad_data(tmp_path):
    rule = Rule("the moon is full", partial(gxe.ExpectColumnValuesToBeUnique, column="moon"))
    with pytest.raises(RuntimeError, match=r"the moon is full.*moon"):
        check("images", image_table(good(), []), "image", [rule], tmp_path / "docs")


def test_a_table_is_judged_as_a_whole_too(tmp_path):
    """What a drift suite needs: an aggregate, with what was observed."""
    mean = partial(gxe.ExpectColumnMeanToBeBetween, column="grey", min_value=50)
    rule = Rule("images are as bright as they were", mean, severity="warning")
    table = pd.DataFrame({"name": ["a", "b"], "grey": [10.0, 20.0]})
    (outcome,) = check("drift", table, "name", [rule], tmp_path / "docs")
    assert not outcome.held
    assert (outcome.observed, outcome.broken_by) == ("15.0", {})
    assert outcome.expectation == "expect_column_mean_to_be_between"
