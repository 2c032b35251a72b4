"""The studies at their smoke size: killed and gone on with, the same to the last digit."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from small_repository import make_repository, write_params

from hgmnet.models.spec import hash_name, load_spec
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.cli.main import main
from pipelines.registry.tracking_store import open_tracking_store
from tests.devtools import CHROMIUM, WIDER, browser
from tests.processes import command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:cov:UserWarning"),  # a gate of one cell has no correlation
]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["study", "crossval", "--smoke"]
SAME = ("table.csv", "folds.csv", "per_image.csv", "table.md", "table.tex", "index.html")


def make(root: Path) -> Workspace:
    """A repository in which every third train image has a copy of its scene in train."""
    space = make_repository(root, count=60)
    index = space.prepared / "index.csv"
    rows = pd.read_csv(index)
    for i in range(3, len(rows)):
        if (i // 3) % 6 == 1:
            rows.loc[i, "group"] = rows.loc[i - 3, "group"]
    rows.to_csv(index, index=False)
    return space


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Workspace, dict[str, float]]:
    """A cross-validation that was killed when a fold was done; the models that there were."""
    space = make(tmp_path_factory.mktemp("studies") / "repository")
    child = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *COMMAND],
        cwd=space.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in child.stdout:
        if line.startswith("1/2 full, fold 1, seed 0: "):
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return space, models(space)


@pytest.fixture(scope="module")
def finished(killed) -> tuple[Workspace, str]:
    """The same study, typed again to its end; and what it printed."""
    return killed[0], run(killed[0], *COMMAND)


def here(space: Workspace, *words: str) -> str:
    """A study in this process, so that what is imported is not imported again."""
    printed = io.StringIO()
    with contextlib.chdir(space.root), contextlib.redirect_stdout(printed):
        assert main([*words]) == 0
    return printed.getvalue()


def run(space: Workspace, *words: str) -> str:
    return command(space.root, *words)


def models(space: Workspace) -> dict[str, float]:
    """When the weights of each were written."""
    files = (space.state / "studies" / "models").glob("*/weights.safetensors")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def folder(space: Workspace, name: str) -> Path:
    return space.reports / "studies" / name


def rows_of(space: Workspace, name: str) -> pd.DataFrame:
    return pd.read_csv(folder(space, name) / "per_image.csv")


def test_a_finished_fold_is_not_trained_again(killed, finished):
    (space, said), before = finished, killed[1]
    assert "2 cells (2 folds, 1 seed), 1 finished before; 1 to do: 1 training, about" in said
    assert "1/2 full, fold 1, seed 0: there already" in said
    assert "fold 1, seed 0, epoch" not in said
    assert len(before) == 1
    assert before.items() <= models(space).items()
    assert not list((space.state / "studies" / "models").glob("*/checkpoints"))


def test_every_image_is_judged_once_by_a_model_that_saw_nothing_of_its_group(finished):
    space = finished[0]
    rows, index = rows_of(space, "crossval-smoke"), pd.read_csv(space.prepared / "index.csv")
    assert rows["image"].is_unique
    assert set(rows["split"]) == {"judged"}
    assert not set(rows["image"]) & set(index[index["split"] == "test"]["image"])
    assert rows.groupby("label")["image"].count().max() <= 16
    specs = [
        load_spec(path.parent) for path in (space.state / "studies").glob("models/*/model.json")
    ]
    for _, fold in rows.groupby("fold"):
        blind = [s for s in specs if not set(s.seen.groups) & set(map(hash_name, fold["group"]))]
        assert len(blind) == 1
        assert not blind[0].seen.pixels & set(fold["pixel_sha256"])
        assert len(blind[0].seen.val) >= 3


def test_the_table_is_what_its_rows_say(finished):
    space, said = finished
    rows = rows_of(space, "crossval-smoke")
    table = pd.read_csv(folder(space, "crossval-smoke") / "table.csv").set_index("metric")
    lesion = rows[rows["tp"] + rows["fn"] > 0]
    dice = 2 * lesion["tp"] / (2 * lesion["tp"] + lesion["fp"] + lesion["fn"])
    right = (rows["label"] == rows["predicted"]).astype(float)
    for metric, values in (("lesion_dice", dice), ("accuracy", right)):
        line = table.loc[metric]
        assert line["value"] == pytest.approx(values.mean())
        by_fold = values.groupby(rows["fold"]).mean()
        assert line["sd_folds"] == pytest.approx(by_fold.std())
        assert line["low"] <= line["value"] <= line["high"]
        assert line["images"] == len(values)
    assert (folder(space, "crossval-smoke") / "table.md").read_text() in said
    page = (folder(space, "crossval-smoke") / "index.html").read_text()
    assert "Its figures are meaningless" in page
    assert f"{dice.mean():.3f}" in page


def test_two_runs_give_the_same_files_to_the_last_digit(finished, tmp_path):
    other = make(tmp_path / "other")
    here(other, *COMMAND)
    for name in SAME:
        one, two = (folder(space, "crossval-smoke") / name for space in (finished[0], other))
        assert one.read_bytes() == two.read_bytes(), name


@pytest.mark.long
def test_the_flow_uses_what_the_command_has_trained(finished):
    space = finished[0]
    page = folder(space, "crossval-smoke")
    before = models(space), [(page / name).read_bytes() for name in SAME]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "flow", *COMMAND, "--folds", "2"],
        cwd=space.root, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "2 models" in done.stdout + done.stderr
    assert (models(space), [(page / name).read_bytes() for name in SAME]) == before


@pytest.mark.long
@pytest.mark.soak
def test_the_flow_on_two_dask_workers_gives_the_same_tables(tmp_path):
    """As one process with one thread, which is what a worker has."""
    one, two = (make(tmp_path / name) for name in ("one", "two"))
    run = partial(
        subprocess.run,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        text=True,
        capture_output=True,
    )
    for kind, models in (("crossval", 2), ("ablation", 6)):
        words = [sys.executable, "-m", "pipelines"]
        run([*words, "study", kind, "--smoke"], cwd=one.root)
        flow = [*words, "flow", "study", kind, "--smoke", "--folds", "2", "--workers", "2"]
        said = run(flow, cwd=two.root)
        assert f"{models} models" in said.stdout + said.stderr
        for name in SAME:
            pair = (folder(space, f"{kind}-smoke") / name for space in (one, two))
            assert len({path.read_bytes() for path in pair}) == 1, name
    cells = pd.read_csv(folder(two, "ablation-smoke") / "cells.csv")
    assert cells["trained"].equals(cells["variant"] != "map-truth")


def test_mlflow_has_a_parent_and_a_child_a_cell_once(finished):
    space = finished[0]
    store = open_tracking_store(space.root, "phantom", 5)
    runs = list(store.client.search_runs([store.experiment_id]))
    (parent,) = (r for r in runs if r.data.tags.get("hgmnet.study") == "crossval")
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {r.info.run_name for r in children} == {f"full, fold {k}, seed 0" for k in (1, 2)}
    assert len(children) == 2
    assert {r.info.status for r in runs} == {"FINISHED"}
    table = pd.read_csv(folder(space, "crossval-smoke") / "table.csv").set_index("metric")
    told = parent.data.metrics["full.lesion_dice"]
    assert told == pytest.approx(table.loc["lesion_dice", "value"])
    files = {file.path for file in store.client.list_artifacts(parent.info.run_id)}
    assert {"table.csv", "index.html", "per_image.csv"} <= files


def test_the_ablation_is_paired_on_the_same_folds_and_trains_the_full_model_no_more(finished):
    space = finished[0]
    said = here(space, "study", "ablation", "--smoke", "--drop-models")
    assert "8 cells (2 folds, 1 seed), 2 finished before; 6 to do: 4 trainings" in said
    rows = rows_of(space, "ablation-smoke").sort_values(["variant", "image"])
    names = ["full", "gate-none", "map-truth", "unet"]
    images = [list(part["image"]) for _, part in rows.groupby("variant")]
    assert [name for name, _ in rows.groupby("variant")] == names
    assert all(one == images[0] for one in images)
    table = pd.read_csv(folder(space, "ablation-smoke") / "table.csv")
    accuracy = table[table["metric"] == "accuracy"].set_index("variant")
    right = (rows["label"] == rows["predicted"]).groupby(rows["variant"]).mean()
    for name in names[1:]:
        gain = accuracy.loc[name]
        assert gain["difference"] == pytest.approx(right[name] - right["full"])
        assert gain["difference_low"] <= gain["difference"] <= gain["difference_high"]
    assert pd.isna(accuracy.loc["full", "difference"])
    assert len(models(space)) == 2  # the full model's: what was trained for this study is dropped
    assert "there already" in here(space, "study", "crossval", "--smoke")
    assert (
        (folder(space, "ablation-smoke") / "forest_accuracy.svg").read_text().startswith("<svg x")
    )
    assert r"\toprule" in (folder(space, "ablation-smoke") / "table.tex").read_text()


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")
def test_the_page_fits_every_window_and_nothing_is_complained_of(finished, tmp_path):
    space = finished[0]
    here(space, "study", "ablation", "--smoke")
    with browser(tmp_path / "profile") as tab:
        for name in ("crossval-smoke", "ablation-smoke"):
            for width in (320, 400, 900, 1280):
                tab.size(width)
                tab.open((folder(space, name) / "index.html").as_uri())
                assert tab.ask(f"[innerWidth, {WIDER}]") == [width, []], name
            lost = "a => !document.querySelector(a.getAttribute('href'))"
            assert tab.ask(f"[...document.querySelectorAll('a[href^=\"#\"]')].filter({lost})") == []
        assert tab.complaints() == []
        assert all(address.startswith(("file:", "data:")) for address in tab.requested())


@pytest.mark.long
def test_the_leak_is_told_of_those_that_can_leak_and_of_those_that_can_not(finished):
    space = finished[0]
    said = here(space, "study", "leakage", "--smoke")
    table = pd.read_csv(folder(space, "leakage-smoke") / "table.csv")
    parts = table[table["metric"] == "accuracy"].groupby("part")["images"].first()
    some, alone = parts["images with others of their group"], parts["images alone in their group"]
    assert some + alone == parts["all images"]
    rows = rows_of(space, "leakage-smoke")
    sizes = rows[rows["variant"] == "grouped"].groupby("group")["image"].count()
    assert some == sizes[sizes > 1].sum() > 0
    halves = rows[rows["variant"] == "naive"].groupby("group")["fold"].nunique()
    assert halves.max() == 2
    assert "images were evaluated by a model that had an image of their group" in said


@pytest.mark.long
def test_the_curve_grows_by_training_images_alone(finished):
    space = finished[0]
    here(space, "study", "curve", "--smoke")
    cells = pd.read_csv(folder(space, "curve-smoke") / "cells.csv").set_index(["variant", "fold"])
    for fold in (1, 2):
        half, whole = cells.loc[("50 %", fold)], cells.loc[("100 %", fold)]
        assert half["train_images"] < whole["train_images"] < 2.5 * half["train_images"]
        assert half["val_images"] == whole["val_images"]
    assert "curve_accuracy" in {p.stem for p in folder(space, "curve-smoke").glob("*.svg")}


@pytest.mark.long
def test_all_takes_the_test_split_in_and_is_an_opening(finished):
    space = finished[0]
    assert read_evaluations(space.openings) == []
    said = here(space, *COMMAND, "--include-test")
    (opening,) = read_evaluations(space.openings)
    assert opening.command == "hgmnet study crossval --include-test"
    here(space, *COMMAND, "--include-test")  # resumed: there is nothing left to do
    assert read_evaluations(space.openings) == [opening]
    index = pd.read_csv(space.prepared / "index.csv")
    rows = rows_of(space, "crossval-smoke-all")
    assert set(rows["image"]) & set(index[index["split"] == "test"]["image"])
    page = (folder(space, "crossval-smoke-all") / "index.html").read_text()
    assert "Do not use these figures to choose settings or models" in page
    assert "train, val and test" in said


def test_settings_are_compared_on_the_same_folds(finished):
    space = finished[0]
    before = models(space)
    said = here(
        space, "study", "compare", "--smoke", "-S", "model.gate=tied,none", "-S", "train.epochs=1"
    )
    assert before.items() <= models(space).items()  # crossval's are those of `tied`
    assert "gate tied, fold 1, seed 0: there already" in said
    rows = rows_of(space, "compare-smoke")
    assert set(rows["variant"]) == {"gate tied", "gate none"}
    one, two = (rows[rows["variant"] == f"gate {gate}"] for gate in ("tied", "none"))
    assert set(zip(one["image"], one["fold"], strict=True)) == set(
        zip(two["image"], two["fold"], strict=True)
    )
    table = pd.read_csv(folder(space, "compare-smoke") / "table.csv").set_index(
        ["variant", "metric"]
    )
    gain = table.loc[("gate none", "accuracy")]
    right = [(part["label"] == part["predicted"]).mean() for part in (one, two)]
    assert gain["difference"] == pytest.approx(right[1] - right[0])
    assert pd.isna(table.loc[("gate tied", "accuracy"), "difference"])
    assert "Differences are minus gate tied, paired by image" in said


REFUSED = {
    "--folds 1: expected 2 or more": (["crossval", "--folds", "1"], {}),
    "--seeds 0: expected 1 or more": (["crossval", "--seeds", "0"], {}),
    "prepare.side: 64; run `dvc repro prepare`": (["crossval"], {"prepare": {"side": 64}}),
    "--only x: expected one of full, map-shuffled": (["ablation", "--only", "x"], {}),
    "the ablation starts from the full model": (["ablation"], {"model": {"gate": "none"}}),
    "-S train: expected <setting of model, train": (["compare", "-S", "train"], {}),
    "-S data.name=a,b: expected <setting of": (["compare", "-S", "data.name=a,b"], {}),
    "model.gates is not a setting": (["compare", "-S", "model.gates=none,self"], {}),
    "expected two settings or more": (["compare", "-S", "model.gate=none"], {}),
    "model.gate: Input should be": (["compare", "-S", "model.gate=none,shut"], {}),
    "40 folds need as many images of every class": (["crossval", "--folds", "40"], {}),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(killed, monkeypatch, capsys, said):
    space, (words, changes) = killed[0], REFUSED[said]
    before = (space.root / "params.yaml").read_text()
    write_params(space.root, **changes)
    monkeypatch.chdir(space.root)
    assert main(["study", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    (space.root / "params.yaml").write_text(before)
