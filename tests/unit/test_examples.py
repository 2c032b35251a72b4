"""The examples in docstrings of hgmnet, run."""

import doctest
import importlib

import pytest

from tests.imports import modules

WITH_EXAMPLES = sorted(
    name
    for name, file in modules().items()
    if name.startswith("hgmnet.") and ">>> " in file.read_text()
)


def test_there_are_examples():
    assert len(WITH_EXAMPLES) >= 6


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_give_what_they_show(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
