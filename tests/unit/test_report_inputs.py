"""Reading what earlier stages wrote: by column name, with what could not be computed left out."""

import pytest

from hgmnet.data.atomic import write_table
from hgmnet.errors import InvalidDataError
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import write_json, write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.report.inputs import duration, read_evidence
from tests.made_up import certainty, evidence, mask_curve, subgroups

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


def test_evidence_of_an_image_is_read_where_it_was_measured(workspace):
    (case,) = read(workspace).cases
    assert (case.evidence_inside, case.evidence_chance) == (None, None)
    told = {"evidence_inside": 0.4, "evidence_chance": 0.05}
    write_table(workspace.per_image, [*ROW, *told], [ROW | told])
    (case,) = read(workspace).cases
    assert (case.evidence_inside, case.evidence_chance) == (0.4, 0.05)


def test_what_is_not_there_is_none_and_what_is_damaged_an_error(workspace):
    bare = read(workspace)
    assert (bare.subgroups, bare.certainty, bare.mask_curve) == (None, None, None)
    assert bare.provenance.copies is bare.provenance.lock_id is bare.provenance.run is None
    write_json(workspace.subgroups, subgroups())
    write_json(workspace.certainty, certainty())
    write_json(workspace.mask_curve, mask_curve())
    told = read(workspace)
    assert told.subgroups == subgroups()
    assert told.certainty == certainty()
    assert told.mask_curve == mask_curve()
    workspace.certainty.write_text("{}")
    with pytest.raises(InvalidDataError, match=r"certainty\.json is no Certainty"):
        read(workspace)


def test_provenance_counts_pairs_groups_and_sides(workspace):
    pairs = [
        Pair(first="a", second="b", kind=kind, score=0, agreement=1, transform="identity")
        for kind in ("copy", "scene", "scene")
    ]
    write_rows(workspace.pairs, Pair, pairs)
    sides = [("g", "train"), ("g", "train"), ("h", "test"), ("h", "excluded"), ("i", "val")]
    rows = [
        SplitRow(pixel_sha256=str(i), name="n", label="benign", group=g, status=s, reason="why")
        for i, (g, s) in enumerate(sides)
    ]
    write_rows(workspace.split_csv, SplitRow, rows)
    found = read(workspace).provenance
    assert (found.copies, found.scenes, found.groups, found.grouped) == (1, 2, 2, 4)
    assert found.sides["benign", "train"] == 2
    assert found.excluded == {"why": 1}


@pytest.mark.parametrize(("seconds", "said"), [(84.2, "84 s"), (241.3, "4 min"), (20_000, "5.6 h")])
def test_a_duration_is_in_the_unit_that_one_would_say(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize("name", ["validation", "metrics", "gate", "per_image", "curves"])
def test_an_absent_file_is_named(workspace, name):
    path = getattr(workspace, name)
    path.unlink()
    with pytest.raises(InvalidDataError, match=path.name):
        read(workspace)
