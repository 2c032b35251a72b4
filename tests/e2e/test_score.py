"""`hgmnet score`: another method's predictions under the pipeline's rules."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from hgmnet.cli import main as anywhere
from hgmnet.data.prepared import open_prepared
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.cli.main import main
from tests.small_repository import make_repository

pytestmark = pytest.mark.slow
CLASSES = ("benign", "malignant", "normal")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    space = make_repository(tmp_path / "repository", 36)
    monkeypatch.chdir(space.root)
    return space


@pytest.fixture
def test_images(workspace):
    return [e for e in open_prepared(workspace.prepared).entries if e.split == "test"]


def write_predictions(workspace, images, folder, *, shift=0, wrong=()):
    """True masks moved down by `shift` px, and the true class but for the images in `wrong`."""
    rows = []
    for entry in images:
        truth = np.asarray(Image.open(workspace.raw / entry.masks).convert("L"))
        path = folder / "masks" / entry.image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(truth, shift, axis=0)).save(path)
        said = "normal" if entry.image in wrong else entry.label
        probs = {f"prob_{name}": 0.8 if name == said else 0.1 for name in CLASSES}
        rows.append({"image": entry.image, **probs})
    with (folder / "probs.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return ["--masks", str(folder / "masks"), "--probabilities", str(folder / "probs.csv")]


def test_figures_are_those_that_can_be_counted_by_hand(workspace, test_images, tmp_path, capsys):
    """A square of 12 px moved by 3 shares 9 rows of 12 with its truth: Dice .75."""
    wrong = {next(e.image for e in test_images if e.label == "benign")}
    given = write_predictions(workspace, test_images, tmp_path, shift=3, wrong=wrong)
    assert main(["score", *given, "--name", "other"]) == 0
    shown = capsys.readouterr().out
    found = json.loads((workspace.reports / "scores/other/metrics.json").read_text())["test"]
    assert found["lesion_dice"]["value"] == pytest.approx(0.75)
    assert found["accuracy"]["value"] == pytest.approx(1 - 1 / len(test_images))
    assert "Lesion Dice" in shown
    assert "1st evaluation on this test split; evaluated 1 time so far" in shown
    (one,) = read_evaluations(workspace.openings)
    assert one.command == "hgmnet score --name other"


def test_two_methods_are_compared_image_by_image(workspace, test_images, tmp_path, capsys):
    for name, shift in (("good", 0), ("bad", 6)):
        (tmp_path / name).mkdir()
        given = write_predictions(workspace, test_images, tmp_path / name, shift=shift)
        against = ["--against", "reports/scores/good"] if name == "bad" else []
        assert main(["score", *given, "--name", name, *against]) == 0
    shown = capsys.readouterr().out
    assert "2nd evaluation on this test split; evaluated 2 times so far" in shown
    assert "Lesion Dice" in shown.split("disagree")[0]
    assert "+0.500" in shown
    assert (workspace.reports / "scores/bad/index.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda given, _: [*given[:1], "nowhere"], "nowhere has no mask for"),
        (lambda _, folder: ["--probabilities", str(folder / "no.csv")], "can't be read as CSV"),
        (lambda *_: [], "nothing to score: give --masks DIR, --probabilities CSV, or both"),
    ],
)
def test_what_can_not_be_scored_is_refused_and_not_counted(
    workspace, tmp_path, capsys, spoil, message
):
    images = [e for e in open_prepared(workspace.prepared).entries if e.split == "test"]
    given = write_predictions(workspace, images, tmp_path)
    assert main(["score", *spoil(given, tmp_path), "--name", "other"]) == 4
    assert message in capsys.readouterr().err
    assert not read_evaluations(workspace.openings)


def test_an_image_without_a_prediction_is_not_left_out(workspace, test_images, tmp_path, capsys):
    given = write_predictions(workspace, test_images, tmp_path)
    (tmp_path / "masks" / test_images[0].image).unlink()
    assert main(["score", *given, "--name", "other"]) == 4
    shown = capsys.readouterr().err
    assert f"for 1 of {len(test_images)} images, {test_images[0].image} among them" in shown


def test_without_a_checkout_the_truth_is_a_folder(workspace, test_images, tmp_path, capsys):
    everything = open_prepared(workspace.prepared).entries
    given = write_predictions(workspace, everything, tmp_path, shift=3)
    words = ["score", "--truth", str(workspace.raw), *given, "--out", str(tmp_path / "rows.csv")]
    assert anywhere.run(anywhere.COMMANDS, words) == 0
    shown = capsys.readouterr().out
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("Lesion Dice ")] == [
        "0.750"
    ]
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == len(everything) + 1
