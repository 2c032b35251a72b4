from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from hgmnet.config.data import Phantom
from hgmnet.errors import ConfigError
from hgmnet.phantom.generate import PhantomCase, generate, plan, render
from hgmnet.phantom.planted_copies import CHANGES, PhantomImage, alter
from pipelines.stages.phantom import run

SMALL = Phantom(seed=3, benign=3, malignant=3, normal=2, copies=8, width=80, height=64)
MANY = Phantom(seed=5, benign=100, malignant=100, normal=60, copies=0, width=100, height=80)


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[PhantomImage]]:
    drawn: dict[str, list[PhantomImage]] = {"benign": [], "malignant": [], "normal": []}
    for case in plan(MANY):
        drawn[case.label].append(render(case, MANY))
    return drawn


def grey(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.asarray(image)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.png"))}


def auroc(pictures: dict[str, list[PhantomImage]], figure) -> float:
    """How well a figure tells malignant from benign; .5 is not at all."""
    lesions = pictures["benign"] + pictures["malignant"]
    truth = [0] * len(pictures["benign"]) + [1] * len(pictures["malignant"])
    return float(roc_auc_score(truth, [figure(picture) for picture in lesions]))


def tall(picture: PhantomImage) -> float:
    rows, columns = np.nonzero(picture.masks[0])
    return np.ptp(rows) / np.ptp(columns)


def behind(picture: PhantomImage) -> float:
    """Grey below the lesion, against grey beside that."""
    rows, columns = np.nonzero(picture.masks[0])
    middle, half = int(columns.mean()), max(2, int(np.ptp(columns) / 4))
    strip = picture.image[rows.max() + 1 : rows.max() + 16].astype(float)
    under = strip[:, middle - half : middle + half].mean()
    return under - np.delete(strip, np.s_[columns.min() : columns.max()], axis=1).mean()


def test_layout_is_busis_and_masks_are_binary_and_of_the_images_size(tmp_path):
    generate(SMALL, tmp_path)
    cases = plan(SMALL)
    assert len(cases) == 3 + 3 + 2 + 8
    for case in cases:
        image = grey(tmp_path / case.label / f"{case.name}.png")
        masks = [grey(f) for f in (tmp_path / case.label).glob(f"{case.name}_mask*.png")]
        assert (tmp_path / case.label / f"{case.name}_mask.png").exists()
        assert {mask.shape for mask in masks} == {image.shape}
        values = set().union(*(np.unique(mask).tolist() for mask in masks))
        assert values == ({0} if case.label == "normal" else {0, 255})
    stems = {f"{c.label}/{c.name}.png" for c in cases}
    assert {name for name in files(tmp_path) if "_mask" not in name} == stems


def test_second_lesion_has_a_mask_of_its_own_and_the_mask_is_the_union(pictures, tmp_path):
    two = [p for p in pictures["benign"] + pictures["malignant"] if len(p.masks) == 2]
    assert 2 <= len(two) <= 30
    assert all(not (p.masks[0] & p.masks[1]).any() for p in two)
    assert all(p.mask.sum() == p.masks[0].sum() + p.masks[1].sum() for p in two)
    number, label, twin = min(
        (
            (number, label, picture)
            for label, drawn in pictures.items()
            for number, picture in enumerate(drawn, 1)
            if len(picture.masks) == 2
        ),
        key=itemgetter(0),
    )
    none = {"benign": 0, "malignant": 0, "normal": 0}
    generate(MANY.model_copy(update={**none, label: number}), tmp_path)
    first, second = (
        grey(tmp_path / label / f"{label} ({number})_mask{n}.png") > 127 for n in ("", "_1")
    )
    assert np.array_equal(first | second, twin.mask)


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(SMALL.model_copy(update={"seed": seed}), tmp_path / name)
    first, again, other = (files(tmp_path / name) for name in "abc")
    assert first == again
    assert all(first[name] != other[name] for name in first.keys() & other if "_mask" not in name)


def test_more_images_leave_those_before_as_they_are():
    more = SMALL.model_copy(update={"benign": 9, "normal": 4, "copies": 0})
    before = {c.name: c for c in plan(SMALL) if c.copy_of is None}
    after = {c.name: c for c in plan(more)}
    assert before.items() <= after.items()
    case = before["benign (3)"]
    assert np.array_equal(render(case, SMALL).image, render(case, more).image)


def test_sides_vary_about_the_nominal_ones(pictures):
    sides = np.array([p.image.shape for label in pictures for p in pictures[label]]) / (80, 100)
    assert sides.min() >= 0.74
    assert sides.max() <= 1.26
    assert (sides.std(axis=0) > 0.1).all()


def test_size_brightness_and_place_tell_nothing_about_the_kind(pictures):
    assert 0.35 < auroc(pictures, lambda p: p.mask.mean()) < 0.65
    assert 0.35 < auroc(pictures, lambda p: p.image[p.mask].mean()) < 0.65
    for axis in (0, 1):
        place = auroc(pictures, lambda p, a=axis: np.nonzero(p.mask)[a].mean() / p.mask.shape[a])
        assert 0.35 < place < 0.65


def test_form_and_shadow_tell_the_kind_but_not_alone_and_always(pictures):
    assert 0.85 < auroc(pictures, tall) < 0.99
    assert 0.8 < auroc(pictures, lambda p: -behind(p)) < 0.99


def test_lesions_have_the_stated_size_and_nearly_all_are_darker_than_the_rest(pictures):
    lesions = pictures["benign"] + pictures["malignant"]
    darker = [p.image[p.mask].mean() < p.image[~p.mask].mean() for p in lesions]
    assert np.mean(darker) > 0.95
    assert all(0.028 < picture.mask.mean() < 0.205 for picture in lesions)
    assert not any(p.mask.any() for p in pictures["normal"])


def test_speckle_is_wider_than_high_and_widens_with_depth(pictures):
    def likeness(image, axis):
        """Of neighbours along an axis, coarse structure taken out."""
        fine = np.diff(image, n=2, axis=0)
        return np.corrcoef(*(np.delete(fine, end, axis).ravel() for end in (0, -1)))[0, 1]

    images = [picture.image.astype(float) for picture in pictures["normal"][-40:]]
    top, bottom = (np.mean([likeness(i[s], 1) for i in images]) for s in np.s_[8:28, -28:-8])
    assert bottom > top
    assert np.mean([likeness(i, 1) - likeness(i, 0) for i in images]) > 0.3


def test_plan_says_what_is_planted():
    copies = [case for case in plan(SMALL) if case.copy_of]
    conflicts = [c for c in copies if c.label != c.copy_of.label]
    exact = [c for c in copies if c.change is None and c.label == c.copy_of.label]
    assert len(copies) == 8
    assert len(exact) == 2
    assert len(conflicts) == 1
    assert {conflicts[0].label, conflicts[0].copy_of.label} == {"benign", "malignant"}
    for copy in (*exact, *conflicts):
        assert np.array_equal(render(copy, SMALL).image, render(copy.copy_of, SMALL).image)
        assert np.array_equal(render(copy, SMALL).mask, render(copy.copy_of, SMALL).mask)
    assert [c.change for c in copies if c.change] == list(CHANGES)


@pytest.mark.parametrize(("copies", "conflicts"), [(0, 0), (1, 0), (3, 0), (4, 1), (30, 1)])
def test_copies_come_on_top_under_the_next_numbers(copies, conflicts):
    cases = plan(SMALL.model_copy(update={"copies": copies}))
    assert sum(c.copy_of is not None for c in cases) == copies
    assert sum(c.copy_of is not None and c.label != c.copy_of.label for c in cases) == conflicts
    assert sum(c.copy_of is not None and c.change is None for c in cases) >= min(copies, 1)
    for label in ("benign", "malignant", "normal"):
        numbers = [0, *(c.number for c in cases if c.label == label)]
        assert all(after - before == 1 for before, after in pairwise(numbers))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_shows_the_same_frame_with_its_mask(change, pictures):
    original = pictures["benign"][0]
    copy = alter(original, change, np.random.default_rng(1))
    assert copy.image.shape == copy.mask.shape
    assert copy.image.dtype == np.uint8
    assert copy.image.shape != original.image.shape or (copy.image != original.image).any()
    back = copy.image[:, ::-1] if change == "mirror" else copy.image
    mask = copy.mask[:, ::-1] if change == "mirror" else copy.mask
    side = original.image.shape[::-1]
    again = np.asarray(Image.fromarray(np.ascontiguousarray(back)).resize(side), dtype=float)
    covered = np.asarray(Image.fromarray(np.ascontiguousarray(mask)).resize(side))
    assert np.corrcoef(again.ravel(), original.image.ravel())[0, 1] > 0.6
    assert 2 * (covered & original.mask).sum() / (covered.sum() + original.mask.sum()) > 0.85


def test_a_normal_can_be_annotated(pictures):
    copy = alter(pictures["normal"][0], "annotate", np.random.default_rng(0))
    assert (copy.image == 255).sum() >= (pictures["normal"][0].image == 255).sum() + 10
    assert not copy.mask.any()


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match=r"not empty.*dvc repro"):
        generate(SMALL, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_copies_of_nothing_are_refused():
    with pytest.raises(ConfigError, match="8 copies of no image"):
        plan(SMALL.model_copy(update={"benign": 0, "malignant": 0, "normal": 0}))


def test_copies_of_normals_alone_hold_no_conflict():
    cases = plan(SMALL.model_copy(update={"benign": 0, "malignant": 0}))
    assert {case.label for case in cases} == {"normal"}
    assert len(cases) == 10


def test_the_stage_writes_where_dvc_expects_it(tmp_path):
    run(tmp_path, phantom=SMALL)
    assert len(files(tmp_path / "data/phantom/raw/benign")) >= 6


def test_a_case_is_a_value():
    assert PhantomCase("benign", 1, 7) == PhantomCase("benign", 1, 7)
    assert PhantomCase("benign", 1, 7).name == "benign (1)"
