"""Which images are shown: every quality, and the worst of each kind of failure."""

import pytest

from pipelines.report.gallery import choose
from tests.made_up import case


def lesions(count):
    """Dice rises with the number in the name."""
    return [case(f"benign/{i:02}.png", tp=i, fn=50 - i) for i in range(count)]


def names(shelf):
    return [c.name for c in shelf.cases]


def shelf(name, cases, **tells):
    (found,) = (one for one in choose(cases, **tells) if one.name == name)
    return found


def called(name, decision, malignant):
    probs = {"benign": 0.9 - malignant, "malignant": malignant, "normal": 0.1}
    return case(name, tp=1, decision=decision, probs=probs)


def test_best_median_and_worst_of_many():
    best, median, worst = choose(lesions(21))[:3]
    assert names(best) == ["20", "19", "18", "17"]
    assert names(median) == ["11", "10", "09", "08"]
    assert names(worst) == ["00", "01", "02", "03"]


@pytest.mark.parametrize("count", range(14))
def test_no_lesion_is_shown_twice_by_quality_and_few_are_all_shown(count):
    shown = [name for one in choose(lesions(count))[:3] for name in names(one)]
    assert len(shown) == len(set(shown)) == min(count, 12)


def test_missed_lesions_are_those_without_a_pixel_found_the_largest_first():
    cases = [
        case("benign/touched.png", tp=1, fn=60),
        case("benign/small.png", fn=3),
        case("malignant/large.png", fn=30, fp=8),
        case("normal/none.png"),
    ]
    found = shelf("Missed lesions", cases)
    assert names(found) == ["large", "small"]
    assert found.note.startswith("2 of 3 lesions")


def test_false_lesions_are_the_served_ones_of_normals_the_largest_first():
    cases = [
        case("normal/a.png", fp=1),
        case("normal/b.png", fp=9, served=0),
        case("normal/c.png", fp=5),
        case("normal/d.png"),
        case("benign/e.png", tp=1, fp=90),
    ]
    found = shelf("False lesions", cases)
    assert names(found) == ["c", "a"]
    assert found.note.startswith("2 of 4 images without a lesion were served a mask, 3 got one")


def test_benign_called_malignant_the_surest_first():
    cases = [
        called("benign/a.png", "malignant", 0.4),
        called("benign/b.png", "malignant", 0.8),
        called("benign/c.png", "benign", 0.1),
        called("malignant/d.png", "malignant", 0.9),
        called("normal/e.png", "malignant", 0.9),
    ]
    found = shelf("Benign called malignant", cases)
    assert (names(found), found.note) == (["b", "a"], "2 of 3 benign; the most confident first")


def test_malignant_called_otherwise_the_lowest_probability_first():
    benign = [called("malignant/a.png", "benign", 0.2), called("malignant/b.png", "benign", 0.1)]
    right = [called("malignant/c.png", "malignant", 0.9)]
    assert names(shelf("Malignant called benign", benign + right)) == ["b", "a"]
    normal = [called("malignant/d.png", "normal", 0.05)]
    assert names(shelf("Malignant called benign or normal", benign + normal)) == ["d", "b", "a"]


def test_what_the_model_does_not_tell_has_no_shelf():
    named = [one.name for one in choose(lesions(3), classifies=False)]
    assert named == ["Best", "Median", "Worst", "Missed lesions", "False lesions"]
    assert len(choose(lesions(3), segments=False)) == 2


def test_a_shelf_is_one_row_at_most():
    many = [called(f"benign/{i}.png", "malignant", 0.5) for i in range(30)]
    assert max(len(one.cases) for one in choose(many)) == 4
