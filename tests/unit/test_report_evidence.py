"""Reading what earlier stages wrote: by column name, with what could not be computed left out."""

import pytest

from hgmnet.errors import InvalidDataError
from pipelines.artifacts import Workspace, write_json, write_table
from pipelines.report.evidence import read_evidence
from tests.made_up import evidence

ROW = {
    "image": "benign/benign (1).png",
    "split": "test",
    "pixel_sha256": "0",
    "group": "g",
    "label": "benign",
    "height": 10,
    "width": 20,
    "predicted": "benign",
    "decision": "malignant",
    "prob_benign": 0.6,
    "prob_malignant": 0.4,
} | {
    prefix + name: value
    for prefix in ("", "coarse_", "served_")
    for name, value in {"tp": 6, "fp": 2, "fn": 4, "tn": 188}.items()
}


@pytest.fixture
def workspace(tmp_path):
    space, made = Workspace(tmp_path, "phantom"), evidence()
    write_json(space.validation, made.validation)
    write_json(space.metrics, made.evaluation)
    write_json(space.evaluation_drift, made.drift)
    write_json(space.gate, made.gate)
    write_table(space.per_image, list(ROW), [ROW])
    epochs = [{"epoch": 1, "val_loss": "", "x": 0.5}, {"epoch": 2, "val_loss": "nan", "x": 1}]
    write_table(space.curves, list(epochs[0]), epochs)
    return space


def read(workspace):
    made = evidence()
    return read_evidence(workspace, made.spec, made.operating, made.identity)


def test_a_row_becomes_a_case(workspace):
    (case,) = read(workspace).cases
    assert (case.name, case.label, case.decision) == ("benign (1)", "benign", "malignant")
    assert case.dice == case.coarse_dice == 12 / 18
    assert case.area == 10 / 200
    assert case.served == 8
    assert case.probs == {"benign": 0.6, "malignant": 0.4}


def test_epochs_keep_the_figures_that_are_there(workspace):
    assert read(workspace).curves == ({"epoch": 1.0, "x": 0.5}, {"epoch": 2.0, "x": 1.0})


def test_the_leading_split_is_test_where_it_was_opened():
    made, closed = evidence(), evidence(status="not judged")
    assert (made.split, len(made.shown), made.figures) == ("test", 7, made.evaluation.test)
    assert (closed.split, len(closed.shown), closed.figures) == ("val", 1, closed.evaluation.val)


@pytest.mark.parametrize("name", ["validation", "metrics", "gate", "per_image", "curves"])
def test_an_absent_file_is_named(workspace, name):
    path = getattr(workspace, name)
    path.unlink()
    with pytest.raises(InvalidDataError, match=path.name):
        read(workspace)
