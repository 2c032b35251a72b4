"""Where the tests of sources lay images out."""

import pytest


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "data" / "mine" / "raw"
