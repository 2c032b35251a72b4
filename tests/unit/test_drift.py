from math import log, sqrt

import numpy as np
import pytest
from scipy.stats import ks_2samp

from hgmnet.evaluation.drift import (
    FALSE_ALARMS,
    MATTERS,
    Column,
    Profile,
    compare,
    kinds,
    summarise,
    unknown,
)


def singles(count):
    return [str(number) for number in range(count)]


def of(**columns):
    """A profile of images that are groups of their own."""
    made = {name: summarise(values, singles(len(values))) for name, values in columns.items()}
    return Profile(data="tiny", columns=made)


def test_a_short_column_is_kept_whole_and_a_long_one_at_equal_steps():
    assert summarise([3.0, 1.0, 2.0], "abc").values == (1, 2, 3)
    long = np.random.default_rng(0).permutation(5000).astype(float)
    column = summarise(long, singles(5000))
    assert column.values == tuple(range(25, 5000, 50))
    assert ks_2samp(column.values, long).statistic <= 1 / 100
    assert column.images == 5000


@pytest.mark.parametrize("tied", [0.0, 0.17, 0.9])
def test_what_is_left_out_of_a_column_hardly_moves_the_distance(tied):
    """Such as lesion area: 0 for many images."""
    values = np.random.default_rng(0).lognormal(size=777)
    values[: int(tied * 777)] = 0
    kept = summarise(values, singles(777)).values
    assert ks_2samp(kept, values).statistic <= 1 / 100


def test_images_of_a_group_count_as_less_than_as_many():
    assert summarise([1.0] * 4, "abcd").independent == 4
    assert summarise([1.0] * 4, "aaaa").independent == 1
    assert summarise([1.0] * 4, "aaab").independent == pytest.approx(16 / 10)


def test_the_bound_is_the_formula_by_hand():
    profile = Profile(
        data="tiny",
        columns={
            "a": Column(values=(1.0, 2.0), images=200, independent=100),
            "b": Column(values=(1.0, 2.0), images=50, independent=50),
            "c": Column(values=(1.0, 2.0), images=10**6, independent=10**6),
        },
    )
    new = [1.0, 2.0] * 20
    a, b = compare(profile, {"b": new, "a": new})
    c = sqrt(-log(FALSE_ALARMS / 2 / 2) / 2)
    assert (a.column, b.column) == ("a", "b")
    assert a.bound == pytest.approx(c * sqrt(1 / 100 + 1 / 20))
    assert b.bound == pytest.approx(c * sqrt(1 / 50 + 1 / 40))
    (many,) = compare(profile, {"c": [1.0, 2.0] * 10**5})
    assert many.bound == MATTERS


def test_medians_and_counts_are_told():
    (shift,) = compare(of(grey=[1.0, 2.0, 9.0]), {"grey": [5.0, 6.0]})
    assert (shift.reference_median, shift.new_median, shift.images) == (2, 5.5, 2)
    assert shift.statistic == pytest.approx(2 / 3)


def test_columns_that_one_side_lacks_are_not_judged():
    profile = of(grey=[1.0, 2.0], area=[0.1, 0.2])
    shifts = compare(profile, {"grey": [1.0], "area": [], "other": [3.0]})
    assert [shift.column for shift in shifts] == ["grey"]


def test_no_number_of_images_proves_what_does_not_matter():
    grid = (np.arange(20_000) + 0.5) / 20_000
    profile = of(grey=grid)
    (small,) = compare(profile, {"grey": list(grid + 0.08)})
    (large,) = compare(profile, {"grey": list(grid + 0.12)})
    assert (small.drifted, large.drifted) == (False, True)


def drawn(generator, groups, shift=0.0):
    """Correlated columns of images in groups of one to five, alike within a group."""
    sizes = generator.integers(1, 6, groups)
    names = np.repeat(np.arange(groups), sizes)
    own = generator.normal(size=(groups, 4))[names]
    values = own + 0.2 * generator.normal(size=(len(names), 4)) + shift
    return {f"column{i}": values[:, i].tolist() for i in range(4)}, names.astype(str).tolist()


def alarms(shift):
    """How many of 100 comparisons of halves raise an alarm."""
    generator = np.random.default_rng(0)
    raised = 0
    for _ in range(100):
        reference, groups = drawn(generator, 60)
        columns = {name: summarise(values, groups) for name, values in reference.items()}
        new, _ = drawn(generator, 60, shift)
        shifts = compare(Profile(data="tiny", columns=columns), new)
        raised += any(one.drifted for one in shifts)
    return raised


def test_words_are_kept_of_columns_that_tell_kinds_and_not_single_images():
    told = [{"Device": f"D{i % 3}", "remark": f"image {i}", "side": ""} for i in range(51)]
    assert kinds(told) == {"Device": ("D0", "D1", "D2")}
    assert kinds(told[:50]).keys() == {"Device", "remark"}
    assert kinds([]) == {}


def test_a_word_is_new_where_both_have_the_column_and_the_profile_not_the_word():
    profile = Profile(data="tiny", columns={}, values={"Device": ("A", "B"), "side": ("L", "R")})
    new = [{"Device": "C", "hand": "x"}, {"Device": "B"}, {"Device": ""}]
    assert unknown(profile, new) == {"Device": ("C",)}
    assert unknown(profile, [{"Device": "A", "side": "R"}]) == {"Device": (), "side": ()}
    assert unknown(profile, [{"Device": ""}]) == {}  # nothing was told


def test_no_word_of_a_table_travels_with_a_model_and_an_older_profile_is_read():
    profile = Profile(data="tiny", columns={}, values={"reader": ("Anna Müller",)})
    assert "Müller" not in profile.model_dump_json()
    older = '{"data": "tiny", "columns": {}, "values": {"reader": ["Anna Müller"]}}'
    assert Profile.model_validate_json(older) == profile
    assert unknown(profile, [{"reader": "Anna Müller"}]) == {"reader": ()}


def test_halves_of_one_distribution_raise_no_alarm_and_others_do():
    assert alarms(0.0) <= 5
    assert alarms(1.5) >= 95


def test_without_regard_to_groups_the_alarms_would_be_false():
    """What the effective number is for: the same halves, each image taken for a group."""
    generator = np.random.default_rng(0)
    raised = 0
    for _ in range(100):
        reference, _ = drawn(generator, 60)
        new, _ = drawn(generator, 60)
        raised += any(shift.drifted for shift in compare(of(**reference), new))
    assert raised > 5
