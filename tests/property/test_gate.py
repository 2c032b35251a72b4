"""Laws of the gate: better never hurts, less is never more, and every check is told."""

from collections.abc import Mapping

from hypothesis import assume, given
from hypothesis import strategies as st

from hgmnet.config.evaluation import Check, Where
from hgmnet.metrics.bootstrap import Figure
from hgmnet.metrics.catalogue import higher_is_better
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.gate import CheckResult
from pipelines.gate.checks import Figures, evaluate_check, verdict

METRICS = ("lesion_dice", "accuracy", "served_normal_fp_rate", "ece")
BY_PART = ("lesion_dice", "normal_fp_rate")
PLACES = [None, *(Where(column="c", value=value) for value in "ab")]
UNIT = st.integers(0, 10).map(lambda tenths: tenths / 10)
COUNTS = st.sampled_from([0, 29, 30, 60])

Key = tuple[str, Where | None]
Table = dict[Key, Figure]


@st.composite
def a_figure(draw: st.DrawFn) -> Figure:
    n = draw(COUNTS)
    if n == 0 or draw(st.integers(0, 9)) == 0:
        return Figure(value=None, low=None, high=None, n=n, groups=n)
    low, value, high = sorted([draw(UNIT), draw(UNIT), draw(UNIT)])
    return Figure(value=value, low=low, high=high, n=n, groups=n)


@st.composite
def a_check(draw: st.DrawFn) -> Check:
    where = draw(st.sampled_from(PLACES))
    return Check(
        metric=draw(st.sampled_from(BY_PART if where else METRICS)),
        bound=draw(UNIT),
        on=draw(st.sampled_from(["point", "conservative"])),
        where=where or "all",
        min_n=draw(st.sampled_from([30, 40] if where else [1, 30, 40])),
    )


CHECKS = st.lists(a_check(), min_size=1, max_size=6)


@st.composite
def a_case(draw: st.DrawFn) -> tuple[list[Check], Table]:
    """Checks, and the figures that they ask for with some that they don't; most are good."""
    checks = draw(CHECKS)
    keys = {(c.metric, c.subgroup) for c in checks} | {("accuracy", None)}
    table = {key: draw(a_figure()) for key in sorted(keys, key=str)}
    for c in checks:
        if draw(st.booleans()):
            table[c.metric, c.subgroup] = _good(c)
    return checks, table


def _good(c: Check) -> Figure:
    best = float(higher_is_better(c.metric))
    return Figure(value=best, low=best, high=best, n=60, groups=60)


def figures(table: Mapping[Key, Figure]) -> Figures:
    groups = [
        Subgroup(column="c", value=value, figures=_at(table, Where(column="c", value=value)))
        for value in "ab"
    ]
    return Figures(_at(table, None), groups)


def _at(table: Mapping[Key, Figure], place: Where | None) -> dict[str, Figure]:
    return {metric: figure for (metric, where), figure in table.items() if where == place}


def decide(checks: list[Check], table: Mapping[Key, Figure]) -> tuple[str, list[CheckResult]]:
    known = figures(table)
    results = [evaluate_check(check, known) for check in checks]
    return verdict(known, results, ()), results


@given(a_case(), st.data())
def test_making_any_metric_better_never_turns_pass_into_fail(case, data):
    checks, table = case
    key = data.draw(st.sampled_from(sorted(table, key=str)))
    old = table[key]
    assume(old.value is not None)
    gain = data.draw(UNIT) * (1 if higher_is_better(key[0]) else -1)
    moved = {name: getattr(old, name) + gain for name in ("value", "low", "high")}
    before, results = decide(checks, table)
    after, better = decide(checks, table | {key: old.model_copy(update=moved)})
    assert (before, after) != ("passed", "failed")
    assert all(b.passed for a, b in zip(results, better, strict=True) if a.passed)


@given(a_case(), st.data())
def test_removing_a_metric_never_turns_fail_into_pass(case, data):
    checks, table = case
    key = data.draw(st.sampled_from(sorted(table, key=str)))
    before, results = decide(checks, table)
    after, fewer = decide(checks, {k: v for k, v in table.items() if k != key})
    assert (before, after) != ("failed", "passed")
    assert not any(b.passed for a, b in zip(results, fewer, strict=True) if not a.passed)
    if key in {(c.metric, c.subgroup) for c in checks}:
        assert after == "failed"


@given(a_case())
def test_the_decision_lists_every_check_in_order_and_passes_only_if_all_do(case):
    checks, table = case
    status, results = decide(checks, table)
    asked = [(c.metric, c.on, c.bound, c.subgroup, c.min_n) for c in checks]
    assert [(r.metric, r.on, r.bound, r.where, r.min_n) for r in results] == asked
    assert (status == "passed") == all(r.passed for r in results)
    assert all(r.reason for r in results)


@given(a_case(), st.data())
def test_fewer_images_never_turn_fail_into_pass(case, data):
    checks, table = case
    key = data.draw(st.sampled_from(sorted(table, key=str)))
    fewer = min(data.draw(COUNTS), table[key].n)
    before, _ = decide(checks, table)
    after, _ = decide(checks, table | {key: table[key].model_copy(update={"n": fewer})})
    assert (before, after) != ("failed", "passed")


@given(a_case())
def test_the_conservative_end_asks_for_at_least_as_much_as_the_point(case):
    checks, table = case
    strict = [c.model_copy(update={"on": "conservative"}) for c in checks]
    loose = [c.model_copy(update={"on": "point"}) for c in checks]
    assert (decide(loose, table)[0], decide(strict, table)[0]) != ("failed", "passed")
