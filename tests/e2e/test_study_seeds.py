"""`hgmnet study seeds`, killed between its seeds, gone on with, and compared with its own rows."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_repository import make_repository, write_params

from hgmnet.models.spec import load_operating, load_spec
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.cli.main import main
from tests.processes import command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["study", "seeds", "--seeds", "2", "--include-test"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Workspace, dict[str, bytes]]:
    """A study that was killed as its first seed was done; the weights that there were."""
    space = make_repository(tmp_path_factory.mktemp("study") / "repository", train={"seed": 5})
    child = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *COMMAND],
        cwd=space.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said = []
    for line in child.stdout:
        said.append(line.strip())
        if line.startswith("seed 5: trained"):
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert said[0].startswith("2 seeds on phantom: 0 finished, 2 to train: 2 trainings, about ")
    assert [line for line in said if line.startswith("seed 5, epoch 1/1: loss")]
    assert [line for line in said if line.endswith(" left")]
    return space, weights(space)


@pytest.fixture(scope="module")
def finished(killed, tmp_path_factory) -> tuple[Workspace, str]:
    """The same study, typed again to its end; and what it printed."""
    return killed[0], study(killed[0].root)


def study(root: Path, *words: str) -> str:
    return command(root, *(words or COMMAND))


def weights(space: Workspace) -> dict[str, bytes]:
    """By fingerprint."""
    specs = (space.state / "studies" / "seeds").glob("*/model.json")
    return {s.parent.name: (s.parent / "weights.safetensors").read_bytes() for s in specs}


def reports(space: Workspace, split: str) -> Path:
    return space.reports / "studies" / {"val": "seeds", "test": "seeds-all"}[split]


def test_what_was_trained_before_the_kill_is_not_trained_again(killed, finished):
    space, said = finished
    before, after = killed[1], weights(space)
    assert len(before) == 1
    assert len(after) == 2
    assert before.items() <= after.items()
    assert "seed 5: finished before, not trained again" in said
    assert "seed 5, epoch" not in said
    assert "seed 6, epoch 1/1: loss" in said
    folders = space.state / "studies" / "seeds"
    assert {load_spec(folders / mark).seed for mark in after} == {5, 6}
    assert {load_spec(folders / mark).fingerprint for mark in after} == set(after)
    assert not list(folders.glob("*/checkpoints"))


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_table_is_what_its_rows_say(finished, split):
    space, said = finished
    rows = pd.read_csv(reports(space, split) / "per_image.csv")
    table = pd.read_csv(reports(space, split) / "table.csv").set_index(["variant", "metric"])
    assert list(dict.fromkeys(rows["variant"])) == ["seed 5", "seed 6", "mean", "ensemble"]
    assert set(rows["split"]) == {split}
    dice, right = {}, {}
    for member, part in rows.groupby("variant"):
        lesion = part[part["tp"] + part["fn"] > 0]
        overlap = 2 * lesion["tp"] / (2 * lesion["tp"] + lesion["fp"] + lesion["fn"])
        dice[member] = overlap.mean()
        right[member] = (part["label"] == part["predicted"]).mean()
    for metric, by_member in (("lesion_dice", dice), ("accuracy", right)):
        for member, value in by_member.items():
            assert table.loc[(member, metric), "value"] == pytest.approx(value)
        one, two = by_member["seed 5"], by_member["seed 6"]
        mean, ensemble = table.loc[("mean", metric)], table.loc[("ensemble", metric)]
        assert mean["value"] == pytest.approx((one + two) / 2)
        assert mean["sd_seeds"] == pytest.approx(abs(one - two) / 2**0.5)
        assert mean["difference"] == pytest.approx((two - one) / 2)
        assert ensemble["difference"] == pytest.approx(by_member["ensemble"] - one)
    assert (reports(space, split) / "table.md").read_text() in said
    for name in ("table.tex", "index.html", "forest_lesion_dice.svg"):
        assert "seed 5, pre-declared first" in (reports(space, split) / name).read_text()


def test_the_ensembles_logits_are_the_mean_of_the_seeds(finished):
    """Up to its temperature: the log-odds of its probabilities are those of the mean, scaled."""
    space = finished[0]
    rows = pd.read_csv(reports(space, "test") / "per_image.csv")
    by_member = rows[rows["variant"] != "mean"].set_index(["variant", "image"])
    probs = by_member[[name for name in rows if name.startswith("prob_")]]
    log_odds = np.log(probs).sub(np.log(probs["prob_normal"]), axis=0).drop(columns="prob_normal")
    mean = sum(
        log_odds.loc[f"seed {load_spec(folder).seed}"] * load_operating(folder).temperature / 2
        for folder in (space.state / "studies" / "seeds").glob("*/")
    ).to_numpy()
    ensemble = log_odds.loc["ensemble"].to_numpy()
    scale = (ensemble * mean).sum() / (mean**2).sum()
    assert scale > 0
    assert ensemble == pytest.approx(scale * mean, abs=2e-5)
    assert np.abs(ensemble).max() > 1e-3


def test_it_says_that_it_chooses_nothing_and_registers_nothing(finished):
    space, said = finished
    assert "# Seeds on phantom, test" in said
    assert "| seed 5, pre-declared first |" in said
    assert "± is the standard deviation over seeds" in said
    assert "registers and promotes nothing" in said
    assert not (space.root / "mlflow.db").exists()
    assert not space.model.exists()


def test_the_cost_is_known_before_and_a_smoke_run_has_folders_of_its_own(
    finished, monkeypatch, capsys
):
    space = finished[0]
    monkeypatch.chdir(space.root)
    assert main(["study", "seeds", "--seeds", "4", "--dry-run"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("4 seeds on phantom: 2 finished, 2 to train: 2 trainings, about ")
    assert main(["study", "seeds", "--seeds", "2", "--smoke"]) == 0
    page = (space.reports / "studies/seeds-smoke/index.html").read_text()
    assert "A smoke run: a few images and one epoch" in page
    assert len(weights(space)) == 2


def test_every_look_at_test_is_an_opening_and_val_alone_is_none(finished, monkeypatch, capsys):
    space = finished[0]
    openings = read_evaluations(space.openings)
    assert len({opening.model for opening in openings}) == len(openings) == 3
    assert {opening.command for opening in openings} == {
        "hgmnet study seeds --seeds 2 --include-test"
    }
    write_params(space.root, train={"seed": 5})
    monkeypatch.chdir(space.root)
    assert main(COMMAND[:-1]) == 0
    assert "2 finished, 0 to train" in capsys.readouterr().out
    assert len(read_evaluations(space.openings)) == 3


def test_a_model_that_dvc_made_is_taken_for_its_seed(finished, monkeypatch, capsys):
    """Its weights are looked at by the fingerprint alone, so a copy elsewhere will do."""
    space = finished[0]
    write_params(space.root, train={"seed": 5})
    folders = space.state / "studies" / "seeds"
    (first,) = [f for f in folders.glob("*/model.json") if json.loads(f.read_text())["seed"] == 5]
    space.model.parent.mkdir(exist_ok=True)
    first.parent.rename(space.model)
    monkeypatch.chdir(space.root)
    assert main(COMMAND[:-1]) == 0
    assert "2 finished, 0 to train" in capsys.readouterr().out
    assert first.read_bytes() == (space.model / "model.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "1"], "--seeds 1: expected 2 or more"),
        (["--seeds", "2"], "prepare.side: 64; run `dvc repro prepare`"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_in_one_line(
    tmp_path, monkeypatch, capsys, words, said
):
    make_repository(tmp_path, prepare={"side": 64})
    monkeypatch.chdir(tmp_path)
    assert main(["study", "seeds", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
