import numpy as np
import pytest
from small_store import SIZE, entry, small_store

from hgmnet.data.prepared import INDEX, assert_disjoint, open_prepared
from hgmnet.errors import InvalidDataError


def test_what_is_written_is_read_back_memory_mapped(tmp_path):
    store = small_store(tmp_path)
    assert isinstance(store.images, np.memmap)
    assert store.images.shape == (18, SIZE, SIZE)
    assert set(np.unique(store.masks)) == {0, 1}
    assert store.entries[0].label == "benign"
    assert [store.entries[i].split for i in store.rows("val")] == ["val"] * 3


def test_arrays_and_index_that_differ_are_refused(tmp_path):
    small_store(tmp_path)
    lines = (tmp_path / INDEX).read_text().splitlines()
    (tmp_path / INDEX).write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InvalidDataError, match="differ"):
        open_prepared(tmp_path)


def test_an_absent_store_says_what_to_type(tmp_path):
    with pytest.raises(InvalidDataError, match="dvc repro prepare"):
        open_prepared(tmp_path / "nowhere")


@pytest.mark.parametrize("shared", [{"group": "g"}, {"pixel_sha256": "p"}])
def test_a_group_or_picture_in_two_splits_is_a_leak(shared):
    rows = [entry("a", split="train", **shared), entry("b", split="test", **shared)]
    with pytest.raises(InvalidDataError, match="leaks"):
        assert_disjoint(rows)
    assert_disjoint([rows[0], entry("b", split="train", **shared)])
