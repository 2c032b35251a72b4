"""How long a row of trainings will take: by hand, on a clock of the test's own."""

import pytest

from pipelines.studies.cost_estimate import Pace, span


def test_it_tells_after_the_second_epoch_and_after_each_seed():
    clock = iter([0, 0, 100, 160, 220, 640, 640, 1200])
    pace = Pace(seeds=2, epochs=10, now=lambda: next(clock))
    pace.start()
    assert pace.after_epoch(1) is None  # 100 s: the first warms up
    assert pace.after_epoch(2) == "60 s an epoch, about 10 min a seed, 18 min left"  # 8 + 10
    assert pace.after_epoch(3) is None
    # seed 1 of 2 ended at 640 s, though three epochs alone were measured of it
    assert pace.after_seed() == "1 to go at 36 min each: about 36 min"
    pace.start()
    assert pace.after_seed() is None


def test_a_seed_gone_on_with_is_scaled_to_a_whole_one():
    clock = iter([0, 0, 10, 20, 20])
    pace = Pace(seeds=3, epochs=10, now=lambda: next(clock))
    pace.start()
    pace.after_epoch(9)
    pace.after_epoch(10)
    assert pace.after_seed() == "2 to go at 2 min each: about 3 min"


def test_a_single_epoch_is_told_at_once():
    clock = iter([0, 0, 5])
    pace = Pace(seeds=2, epochs=1, now=lambda: next(clock))
    pace.start()
    assert pace.after_epoch(1) == "5.0 s an epoch, about 5.0 s a seed, 5.0 s left"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.44, "0.4 s"), (50, "50 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_spans_are_for_people(seconds, said):
    assert span(seconds) == said
