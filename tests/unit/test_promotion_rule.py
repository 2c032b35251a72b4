"""The rule that decides promotion: its cases by hand, its laws, and how often it errs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgmnet.config.operation import Promotion
from hgmnet.evaluation.promotion_rule import ORDER, compare, judge
from hgmnet.metrics.bootstrap import Paired

MARGINS = {"served_lesion_dice": 0.03, "accuracy": 0.05, "served_sensitivity_malignant": 0.10}
PRIMARY = "served_lesion_dice"
RULE = Promotion.model_validate(
    {"primary": PRIMARY, "margins": MARGINS, "min_groups": 1, "draws": 1000, "seed": 0}
)
ENDS = st.tuples(st.floats(-0.5, 0.5), st.floats(0, 0.5)).map(lambda p: (p[0], p[0] + p[1]))


def figures(*ends):
    return {
        name: Paired(0.5, 0.5, (low + high) / 2, low, high, low, high, 0.1, 10, 10)
        for name, (low, high) in zip(MARGINS, ends, strict=False)
    }


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        (((0.001, 0.1), (-0.04, 0.1), (-0.09, 0.1)), "better"),
        (((-0.02, 0.1), (0.01, 0.1), (0.01, 0.2)), "not worse"),
        (((-0.02, -0.01), (-0.04, 0.0), (-0.09, 0.0)), "not worse"),
        (((0.001, 0.1), (-0.06, 0.1), (-0.09, 0.1)), "undecided"),
        (((0.001, 0.1), (-0.06, -0.01), (-0.09, 0.1)), "worse"),
        (((-0.2, -0.04), (-0.04, 0.1), (-0.09, 0.1)), "worse"),
        (((-0.2, 0.2), (-0.3, 0.3), (-0.4, 0.4)), "undecided"),
        (((0.1, 0.2), (0.1, 0.2)), "undecided"),
    ],
)
def test_each_verdict(ends, verdict):
    """The last: no malignant image, so its figure could not be compared."""
    assert judge(figures(*ends), MARGINS, PRIMARY) == verdict


@given(st.tuples(ENDS, ENDS, ENDS), st.sampled_from(list(MARGINS)), st.floats(0, 1))
def test_a_challenger_that_gains_never_gets_a_lesser_verdict(ends, name, gain):
    before = figures(*ends)
    one = before[name]
    after = before | {name: replace(one, lower=one.lower + gain, upper=one.upper + gain)}
    verdicts = [judge(found, MARGINS, PRIMARY) for found in (before, after)]
    assert ORDER.index(verdicts[0]) <= ORDER.index(verdicts[1])


def rows(dice, right, decided):
    """A lesion of 100 pixels an image, all of them malignant, found to a Dice of 2 tp / 200."""
    tp = np.round(100 * np.asarray(dice)).astype(int)
    return pd.DataFrame(
        {
            "pixel_sha256": [f"p{i}" for i in range(len(tp))],
            "group": [f"g{i // 2}" for i in range(len(tp))],
            "label": "malignant",
            "predicted": np.where(right, "malignant", "benign"),
            "decision": np.where(decided, "malignant", "benign"),
            "served_tp": tp,
            "served_fp": 100 - tp,
            "served_fn": 100 - tp,
        }
    )


def test_differences_are_the_challenger_minus_the_champion():
    champion = rows([0.5, 0.6, 0.7, 0.8], [1, 1, 0, 0], [1, 1, 1, 0])
    challenger = rows([0.6, 0.6, 0.8, 0.9], [1, 1, 1, 0], [1, 1, 1, 1])
    found = compare(champion, challenger, RULE).figures
    assert found[PRIMARY].before == pytest.approx(0.65)
    assert found[PRIMARY].difference == pytest.approx(0.075)
    assert found["accuracy"].difference == pytest.approx(0.25)
    assert found["served_sensitivity_malignant"].difference == pytest.approx(0.25)
    assert (found["accuracy"].n, found["accuracy"].groups) == (4, 2)


def test_each_figure_is_of_its_own_images():
    some = rows([0.5, 0.6, 0.7, 0.8], [1, 1, 1, 1], [1, 1, 1, 1])
    some.loc[0, "label"] = "benign"
    some.loc[1, ["label", "served_tp", "served_fn"]] = ["normal", 0, 0]
    found = compare(some, some, RULE).figures
    assert [found[name].n for name in MARGINS] == [3, 4, 2]
    assert all(figure.difference == 0 for figure in found.values())


def test_a_figure_on_too_few_groups_is_not_compared():
    """On three groups of equal differences the interval has no width, which looks certain."""
    champion = rows([0.5] * 6, [1] * 6, [1] * 6)
    challenger = rows([0.9] * 6, [1] * 6, [1] * 6)
    assert compare(champion, challenger, RULE).verdict == "better"
    careful = compare(champion, challenger, RULE.model_copy(update={"min_groups": 4}))
    assert (careful.verdict, careful.figures) == ("undecided", {})
    assert careful.too_few == dict.fromkeys(MARGINS, 3)


def test_rows_of_other_images_are_refused():
    one, other = rows([0.5] * 4, [1] * 4, [1] * 4), rows([0.5] * 4, [1] * 4, [1] * 4)
    with pytest.raises(ValueError, match="same images"):
        compare(one, other.iloc[::-1], RULE)


@pytest.mark.slow
def test_equal_models_are_promoted_one_time_in_twenty_at_most_or_so():
    """150 images, 100 times: at a level of 5 % more than 11 come one time in two hundred."""
    rng = np.random.default_rng(0)
    promoted = 0
    for _ in range(100):
        easy = rng.normal(0.75, 0.15, 150)
        both = [
            rows(np.clip(easy + rng.normal(0, 0.05, 150), 0, 1), easy > 0.6, easy > 0.5)
            for _ in range(2)
        ]
        promoted += compare(*both, RULE).verdict == "better"
    assert promoted <= 11
