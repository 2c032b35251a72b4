"""benchmarks/gpu.sh on a tiny pack: what a machine with a GPU and nothing else will run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from small_store import SIZE, params, small_store

from hgmnet.data.prepared import PreparedDataset, write_store
from tests.imports import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed data set and a profile that trains on it in seconds."""
    folder = tmp_path_factory.mktemp("gpu")
    raw = folder / "raw"
    store = with_masks(small_store(folder / "plain", 36), folder / "store", raw)
    assert len(store.entries) == 36
    (script := folder / "make.py").write_text(
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'benchmarks')!r})\n"
        "from pathlib import Path; from pack import open_pack, write_pack\n"
        "from hgmnet.data.prepared import open_prepared\n"
        f"folder = Path({str(folder)!r})\n"
        "write_pack(folder / 'pack', open_prepared(folder / 'store'), folder / 'raw')\n"
        "store, truth = open_pack(folder / 'pack')\n"
        "lesion = next(e for e in store.entries if e.label != 'normal')\n"
        "print(truth[lesion.image].shape, int(truth[lesion.image].sum()), len(store.entries))\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["(40,", "50)", "200", "36"]
    settings = params(epochs=1, batch_size=8)
    with (folder / "profile.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(settings.model_dump(by_alias=True, mode="json"), file)
    return folder


def with_masks(plain: PreparedDataset, folder: Path, raw: Path) -> PreparedDataset:
    """The same images, with masks of 40 x 50 px on disk for those with a lesion."""
    entries = []
    for entry in plain.entries:
        if entry.label == "normal":
            entries.append(entry)
            continue
        name = entry.image.replace(".png", "_mask.png")
        mask = np.zeros((40, 50), np.uint8)
        mask[10:20, 10:30] = 255
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(raw / name)
        entries.append(entry.model_copy(update={"masks": name}))
    pairs = zip(plain.images, plain.masks, strict=True)
    write_store(folder, tuple(entries), SIZE, pairs)
    return PreparedDataset(plain.images, plain.masks, tuple(entries))


def gpu(place: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    known = {
        "PROFILE": str(place / "profile.yaml"),
        "PACK": str(place / "pack"),
        "RESULTS": str(place / "results"),
        "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
    }
    command = ["bash", str(REPOSITORY / "benchmarks/gpu.sh"), *words]
    return subprocess.run(
        command, env=os.environ | known | env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def ran(place: Path) -> Path:
    """A fold, once more with a change, and the test split; their results."""
    folds = ("--folds", "2")
    for words in (
        ("fold", "0", *folds),
        ("fold", "0", *folds, "--name", "none", "--set", "model.gate=none", "train.epochs=1"),
        ("test",),
    ):
        done = gpu(place, *words)
        assert done.returncode == 0, done.stderr
    return place / "results"


def test_a_fold_predicts_its_images_at_native_size_and_is_not_repeated(
    place: Path, ran: Path
) -> None:
    rows = pd.read_csv(ran / "base/fold0.csv")
    assert len(rows) == rows["image"].nunique() == 15  # of 36, six are in the test split
    assert set(rows["tp"] + rows["fn"]) == {0, 200}
    assert set(rows[["tp", "fp", "fn", "tn"]].sum(axis=1)) == {2000}
    assert not list(ran.rglob("*.ckpt"))
    again = gpu(place, "fold", "0", "--folds", "2")
    assert again.stdout.strip().endswith("fold0.csv is there")


def test_a_change_is_written_down(ran: Path) -> None:
    about = json.loads((ran / "none/fold0.json").read_text())
    assert about["changes"] == ["model.gate=none", "train.epochs=1"]


def test_the_test_split_is_noted_before_it_is_opened(ran: Path) -> None:
    (opening,) = map(json.loads, (ran / "base/openings.jsonl").read_text().splitlines())
    assert opening["command"] == "recipe.py test 0 --name base"
    assert set(pd.read_csv(ran / "base/test0.csv")["split"]) == {"val", "test"}


def test_the_table_shows_trials_and_the_results_travel(
    place: Path, ran: Path, tmp_path: Path
) -> None:
    done = gpu(place, "table", OUT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| trial | images | lesion Dice | difference |")
    assert any(line.startswith("| base | 15 |") for line in lines)
    assert any(line.startswith("base test0 test: ") for line in lines)
    assert (tmp_path / "results.tar.gz").stat().st_size > 0


def test_out_of_time_says_start_again_and_then_goes_on(place: Path) -> None:
    words = ("seed", "3", "--name", "long", "--set", "train.epochs=2")
    late = gpu(place, *words, LIMIT="1")
    assert late.returncode == 137
    assert "start the same piece again" in late.stderr
    done = gpu(place, *words)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(place / "results/long/seed3.csv")["split"]) == {"val"}


def test_an_unknown_piece_is_one_line(place: Path) -> None:
    done = gpu(place, "fodl")
    assert done.returncode == 2
    assert done.stderr.strip() == "gpu.sh: fodl? pack, speed, fold K, seed K, test or table"


def test_a_sweep_trains_what_is_missing_and_refuses_other_settings(place: Path) -> None:
    """benchmarks/sweep.py: two trials, one of them interrupted, then trained; a changed plan."""
    home = place / "sweep"
    home.mkdir()
    (home / f"pack{SIZE}").symlink_to(place / "pack")
    trials = {"one": {}, "two": {"train": [1], "set": {"model.gate": "none"}}}
    base = {"profile": str(place / "profile.yaml"), "side": SIZE, "folds": 2, "train": [0]}
    plan = {"base": base, "set": {"train.epochs": 1}, "trials": trials}

    def sweep(*words: str) -> subprocess.CompletedProcess[str]:
        with (home / "plan.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(plan, file)
        script = str(REPOSITORY / "benchmarks/sweep.py")
        command = [sys.executable, script, str(home / "plan.yaml"), str(home), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert sweep("--limit", "0.001").returncode == 0
    assert not list(home.rglob("fold*.csv"))
    assert sweep().returncode == 0
    lines = [json.loads(line) for line in (home / "attempts.jsonl").read_text().splitlines()]
    tried = [(line["trial"], line["fold"], line["status"]) for line in lines]
    assert tried == [("one", 0, 124), ("two", 1, 124), ("one", 0, 0), ("two", 1, 0)]
    assert [line["done"] for line in lines] == [False, False, True, True]
    about = json.loads((home / "cells/two/fold1.json").read_text())
    assert about["changes"] == [f"prepare.side={SIZE}", "train.epochs=1", "model.gate=none"]
    assert about["threads"] == 1
    trials["two"]["set"]["model.gate"] = "self"
    refused = sweep()
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("with other settings; give the trial another name")
