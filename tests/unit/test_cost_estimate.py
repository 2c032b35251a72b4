"""Times in words that people use."""

import pytest

from hgmnet.data.progress import span


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.44, "0.4 s"), (50, "50 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_spans_are_for_people(seconds, said):
    assert span(seconds) == said
