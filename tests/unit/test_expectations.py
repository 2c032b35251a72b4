"""Each rule fires on its own kind of breach, names the files, and on nothing else."""

from functools import partial

import great_expectations.expectations as gxe
import pandas as pd
import pytest

from hgmnet.config.data import Data, Validate
from hgmnet.splitting.pairs import Pair
from pipelines.validation.expectations import Rule, check
from pipelines.validation.image_rules import image_rules, image_table
from tests.records import record

DATA = Data(name="tiny", classes=("benign", "malignant", "normal"))
VALIDATE = Validate(
    min_side=64,
    max_side=400,
    min_per_class=2,
    max_imbalance=30,
    min_lesion=0.01,
    max_lesion=0.5,
    max_lesion_parts=3,
    patient_share=0.4,
)


def good():
    return [record(f"{name}/{number}.png") for name in DATA.classes for number in range(3)]


def pair(first, second, transform):
    facts = {"kind": "copy", "score": 9, "agreement": 0.5, "transform": transform}
    return Pair(first=first.image, second=second.image, **facts)


def broken(folder, records, pairs=()):
    """By meaning, the outcomes of the rules that do not hold."""
    table = image_table(records, pairs, VALIDATE.patient_share)
    outcomes = check("images", table, "image", image_rules(DATA, VALIDATE), folder / "docs")
    return {outcome.rule.meaning: outcome for outcome in outcomes if not outcome.held}


def test_good_images_break_nothing(tmp_path):
    """A normal needs no mask, and what is excluded is not judged."""
    unmasked = record("normal/odd.png", masks=(), masks_match=False)
    curated = record("benign/odd.png", excluded="blurred", error="truncated", masks=(), height=3)
    assert broken(tmp_path, [*good(), unmasked, curated]) == {}


EMPTY = {"mask_pixels": 0, "mask_parts": 0, "mask_smallest": 0}
UNREAD = EMPTY | {
    "masks": (),
    "width": 0,
    "height": 0,
    "mode": "",
    "bit_depth": 0,
    "masks_match": False,
    "intensity_std": 0.0,
}
SAME = (record("benign/odd.png"), record("malignant/odd.png"))
NEAR = (record("normal/odd.png"), record("normal/odder.png"))
MANY = tuple(record(f"benign/odd{number:02}.png", **EMPTY) for number in range(40))
BREACHES = [
    ("listed twice", "benign/0.png", good()[0]),
    ("can be read", "truncated", record("benign/a.png", error="truncated", **UNREAD)),
    ("8 or 16 bits", "1", record("benign/a1.png", bit_depth=1, mode="1")),
    ("grey or RGB", "P", record("benign/a2.png", mode="P")),
    ("benign, malignant, normal", "cyst", record("cyst/a.png", height=1, marks=3, **EMPTY)),
    ("at least 64 px", "63", record("benign/b.png", height=63)),
    ("at most 400 px", "401", record("benign/b1.png", width=401)),
    ("lesion class has a mask", "0", record("benign/c.png", masks=(), **EMPTY)),
    ("image's size", "False", record("benign/d.png", masks_match=False, **EMPTY)),
    ("0 and 255", "0, 1", record("benign/e.png", mask_values="0, 1")),
    ("shows a lesion", "0", record("benign/f.png", **EMPTY), *MANY),
    ("class normal has a lesion", "7", record("normal/a.png", mask_pixels=7)),
    ("image's border", "0.51", record("benign/f1.png", mask_pixels=7900, mask_border=0.51)),
    ("class benign cover 0.01 to 0.5", "0.005", record("benign/f2.png", mask_pixels=40)),
    ("class malignant cover", "0.75", record("malignant/f3.png", mask_pixels=6000)),
    ("at most 3 parts", "4", record("benign/f4.png", mask_parts=4)),
    ("fewer than 10 px", "9", record("benign/f5.png", mask_smallest=9)),
    ("even grey", "0.0", record("benign/g0.png", intensity_std=0.0, dark_share=1.0)),
    ("next to blank", "1.5", record("benign/g.png", intensity_std=1.5, dark_share=1.0)),
    ("black on more", "0.9", record("benign/g1.png", dark_share=0.9)),
    ("white on more", "0.3", record("benign/g2.png", saturated_share=0.3)),
    ("colour", "0.01", record("benign/g3.png", colour_share=0.01)),
    ("burned-in marks", "2", record("benign/g4.png", marks=2)),
    ("carry one label", "benign and malignant", *SAME),
]
TWINS = {
    "same pixels": {"benign/odd.png": "malignant/odd.png", "malignant/odd.png": "benign/odd.png"},
    "changed copy": {"normal/odd.png": "normal/odder.png", "normal/odder.png": "normal/odd.png"},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is broken where good images and one breach of every rule on rows lie together."""
    rows = [row for _, _, *odd in BREACHES for row in odd]
    pairs = [pair(*SAME, "identity"), pair(*NEAR, "shift")]
    return broken(tmp_path_factory.mktemp("breaches"), [*good(), *rows, *NEAR], pairs)


def outcome_of(found, words):
    (outcome,) = [outcome for meaning, outcome in found.items() if words in meaning]
    return outcome


def test_each_breach_is_named_by_its_rule_alone(found):
    assert len(found) == len(BREACHES) + len(TWINS)
    for words, value, *odd in BREACHES:
        assert outcome_of(found, words).broken_by == {bad.image: value for bad in odd}


def test_copies_are_warnings_and_name_each_other(found):
    assert {words: outcome_of(found, words).broken_by for words in TWINS} == TWINS
    copies = [outcome_of(found, words) for words in ("carry one label", *TWINS)]
    assert [outcome.rule.severity for outcome in copies] == ["warning"] * 3


def test_all_breaches_are_named_not_only_the_first_twenty(found):
    files = list(outcome_of(found, "shows a lesion").broken_by)
    assert files == ["benign/f.png", *(bad.image for bad in MANY)]


def test_a_copy_that_curation_excluded_is_no_copy():
    twins = [record("benign/odd.png", excluded="a copy"), record("malignant/odd.png")]
    table = image_table(twins, [pair(*twins, "shift")], 1)
    assert list(table["copy"]) == [""]


def test_frames_of_one_scene_may_differ_in_their_labels():
    twins = [record("benign/odd.png", group="g"), record("malignant/odd.png", group="g")]
    scene = pair(*twins, "shift").model_copy(update={"kind": "scene"})
    assert list(image_table(twins, [scene], 1)["copy_labels"]) == ["benign", "malignant"]


def test_a_patient_with_many_images_and_words_for_patients_are_named_once(tmp_path):
    images = [f"{name}/{number}.png" for name in DATA.classes for number in range(4)]
    patients = ["REDACTED"] * 5 + ["a", "b", "Anonymous", "0000", "n/a", "anonymous1", "x7"]
    records = [record(i, patient=p) for i, p in zip(images, patients, strict=True)]
    found = broken(tmp_path, [*records, record("normal/x.png", excluded="blurred", patient="a")])
    assert found["no patient has more than 40% of the images"].broken_by == {
        "benign/0.png": "REDACTED: 5 of 12 images"
    }
    assert found["no word such as REDACTED or unknown stands for a patient"].broken_by == {
        "benign/0.png": "REDACTED",
        "malignant/3.png": "Anonymous",
        "normal/0.png": "0000",
        "normal/1.png": "n/a",
    }
    assert {outcome.rule.severity for outcome in found.values()} == {"warning"}


def test_two_groups_are_too_few_for_three_splits(tmp_path):
    records = [one.model_copy(update={"group": str(one.label < "n")}) for one in good()]
    (outcome,) = broken(tmp_path, records).values()
    assert (outcome.rule.severity, outcome.observed) == ("critical", "2")


def test_only_usable_images_count_for_their_class_and_against_another(tmp_path):
    """One benign image of two is usable, of 31 malignant ones: too few, and outnumbered."""
    records = [r for r in good() if r.image not in {"benign/0.png", "benign/1.png"}]
    records.append(record("benign/3.png", excluded="withdrawn"))
    records += [record(f"malignant/more{number}.png") for number in range(28)]
    outcomes = broken(tmp_path, records)
    assert {meaning: (o.observed, o.broken_by) for meaning, o in outcomes.items()} == {
        "class benign has at least 2 usable images": ("1", {}),
        "no class has more than 30 images to one of another": ("31.0", {}),
    }
    assert [o.rule.severity for o in outcomes.values()] == ["critical", "warning"]


def test_an_empty_table_breaks_the_counts_and_crashes_nothing(tmp_path):
    meanings = set(broken(tmp_path, []))
    classes = {f"class {name} has at least 2 usable images" for name in DATA.classes}
    balance = "no class has more than 30 images to one of another"
    depth = "the images use more than a tenth of the greys"
    groups = "there are at least 3 groups (patients, scenes) for train, val and test"
    assert meanings == {"there is at least one image", balance, depth, groups, *classes}


def test_a_set_that_uses_few_greys_is_an_error_and_a_dark_image_is_none(tmp_path):
    dark = [one.model_copy(update={"intensity_max": 15}) for one in good()]
    (outcome,) = broken(tmp_path / "all", dark).values()
    assert outcome.rule.severity == "critical"
    assert "--bits" in outcome.rule.remedy
    assert broken(tmp_path / "one", [*good()[1:], dark[0]]) == {}


def test_an_expectation_that_crashes_is_a_bug_not_bad_data(tmp_path):
    rule = Rule("the moon is full", partial(gxe.ExpectColumnValuesToBeUnique, column="moon"))
    with pytest.raises(RuntimeError, match=r"the moon is full.*moon"):
        check("images", image_table(good(), [], 1), "image", [rule], tmp_path / "docs")


def test_a_table_is_judged_as_a_whole_too(tmp_path):
    """What a drift suite needs: an aggregate, with what was observed."""
    mean = partial(gxe.ExpectColumnMeanToBeBetween, column="grey", min_value=50)
    rule = Rule("images are as bright as they were", mean, severity="warning")
    table = pd.DataFrame({"name": ["a", "b"], "grey": [10.0, 20.0]})
    (outcome,) = check("drift", table, "name", [rule], tmp_path / "docs")
    assert not outcome.held
    assert (outcome.observed, outcome.broken_by) == ("15.0", {})
    assert outcome.expectation == "expect_column_mean_to_be_between"
