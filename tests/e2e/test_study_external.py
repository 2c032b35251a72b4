"""`hgmnet study external`, on a made-up set with other class names and two devices."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_repository import make_repository, put_model

from hgmnet.data import metadata
from hgmnet.data.atomic import write_text
from hgmnet.data.image_record import ImageRecord
from hgmnet.models.serialization import load_model, save_model
from hgmnet.models.spec import identity
from hgmnet.splitting import split_lock
from pipelines.artifacts.io import read_rows, write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.cli.main import main
from pipelines.registry.tracking_store import open_tracking_store
from tests.records import record
from tests.tiny_repository import liven

pytestmark = pytest.mark.slow
COMMAND = ["study", "external", "--model", "models/hgmnet", "--data", "clinic"]
MAP = ["--map", "cancer=malignant"]
SEEN = f"{0:064x}"
"""A train image of the model's own set."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Workspace:
    space = make_repository(tmp_path_factory.mktemp("external") / "repository")
    put_model(space)
    network, its = load_model(space.model)
    save_model(space.model, liven(network), its)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(space.root)
        assert main(["calibrate"]) == 0
    operating = space.model / "operating.json"  # no value that a new fit could hit upon
    point = json.loads(operating.read_text()) | {"temperature": 2.0}
    operating.write_text(json.dumps(point))
    spec = space.model / "model.json"
    known = json.loads(spec.read_text())
    known["seen"]["train"] = [SEEN]
    spec.write_text(json.dumps(known))
    make_clinic(Workspace(space.root, "clinic"))
    return space


def make_clinic(clinic: Workspace, count: int = 40) -> None:
    """No normals; lesions at another place; half of the images by each device; one seen before."""
    generator = np.random.default_rng(5)
    records, told = [], []
    for i in range(count):
        name = f"{('benign', 'cancer')[i % 2]}/{i}"
        image = generator.integers(0, 90, (40, 48), dtype=np.uint8)
        mask = np.zeros((40, 48), dtype=bool)
        mask[10:30, 5:25] = True
        image[mask] += 100
        path = clinic.raw / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        Image.fromarray(mask).save(clinic.raw / f"{name}_mask.png")
        known = {"width": 48, "height": 40, "group": name, "mask_pixels": 400}
        known |= {"masks": (f"{name}_mask.png",)}
        known["pixel_sha256"] = f"{1000 + i:064x}" if i else SEEN
        records.append(record(f"{name}.png", **known))
        further = {"device": "AB"[i % 4 // 2], "birads": str(3 + i % 2), "room": str(i % 7)}
        told.append(
            metadata.ImageMetadata(image=f"{name}.png", patient="", pixel_mm=0.0, further=further)
        )
    metadata.write(clinic.raw, told)
    write_rows(clinic.manifest, ImageRecord, records)  # last, or the images are read again


def run(space: Workspace, monkeypatch, *words: str) -> Path:
    monkeypatch.chdir(space.root)
    assert main([*COMMAND, *words]) == 0
    return space.reports / "studies" / "external-clinic"


def test_every_image_that_was_not_seen_is_judged_under_the_models_classes(
    repository, monkeypatch, capsys
):
    folder = run(repository, monkeypatch, *MAP)
    said = capsys.readouterr().out
    assert "benign → benign, cancer → malignant; 19 benign, 20 malignant" in said
    assert "No image of normal: a decision for it is an error" in said
    assert "Left out because the model has seen them: 1 image of clinic" in said
    rows = pd.read_csv(folder / "per_image.csv")
    assert len(rows) == 39
    assert set(rows["label"]) == {"benign", "malignant"}
    table = pd.read_csv(folder / "table.csv").set_index(["part", "metric"])
    right = rows["label"] == rows["predicted"]
    assert table.loc[("all images", "accuracy"), "value"] == pytest.approx(right.mean())
    for device, image in (("A", lambda i: i % 4 < 2), ("B", lambda i: i % 4 > 1)):
        number = rows["image"].str.extract(r"/(\d+)\.png")[0].astype(int)
        part = table.loc[(f"device: {device}", "accuracy")]
        assert part["value"] == pytest.approx(right[number.map(image)].mean())
        assert part["images"] == number.map(image).sum()
    assert ("birads: 4", "lesion_dice") in table.index
    rooms = [part for part in table.index.get_level_values("part") if part.startswith("room")]
    assert set(rooms) == {"room: 7 values of under 10 images"}
    assert table.loc[(rooms[0], "accuracy"), "images"] == 39
    assert "served_normal_fp_rate" not in table.loc["all images"].dropna(subset="value").index
    assert json.loads((folder / "drift.json").read_text())["drifted"]
    page = (folder / "index.html").read_text()
    assert "drift.json" in page
    assert "recalibrated" not in page


def test_the_recalibrated_are_the_rest_alone_and_told_apart(repository, monkeypatch, capsys):
    folder = run(repository, monkeypatch, *MAP, "--recalibrate", "0.25")
    before = pd.read_csv(folder / "per_image.csv")
    rows = pd.read_csv(folder.with_name("external-clinic-recalibrated") / "per_image.csv")
    served, again = (rows[rows["variant"] == name] for name in ("served", "recalibrated"))
    assert list(served["image"]) == list(again["image"])
    assert 25 <= len(served) <= 31
    assert len(before) == 39
    probs = ["prob_benign", "prob_malignant", "prob_normal"]
    assert (served["predicted"].to_numpy() == again["predicted"].to_numpy()).all()
    assert not np.allclose(served[probs], again[probs])
    assert f"{39 - len(served)} further images were used to choose" in (capsys.readouterr().out)


def test_a_set_that_was_just_imported_is_read_first(repository, monkeypatch, capsys):
    fresh = Workspace(repository.root, "fresh")
    shutil.copytree(repository.root / "data/clinic/raw", fresh.raw)
    write_text(fresh.curation, metadata.HEADER)
    words = [*COMMAND[:-1], "fresh", "--smoke", *MAP]
    monkeypatch.chdir(repository.root)
    assert main(words) == 0
    records = read_rows(fresh.manifest, ImageRecord)
    assert len({record.pixel_sha256 for record in records}) == 40
    read = "data/fresh is new or was changed: its images are read first"
    assert read in capsys.readouterr().out
    assert main(words) == 0
    assert read not in capsys.readouterr().out
    write_text(fresh.curation, metadata.HEADER + "benign/0.png,,true,blurred\n")
    assert main(words) == 0
    assert "40 images in 40 groups, 1 excluded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "opened"), [(None, 0), ("train", 0), ("test", 1)], ids=["no split", "train", "test"]
)
def test_images_of_a_locked_test_split_are_counted(repository, monkeypatch, status, opened):
    """One of the four was seen by the model and is left out."""
    clinic = Workspace(repository.root, "clinic")
    locked = read_rows(clinic.manifest, ImageRecord)[:4] if status else []
    facts = {"group": "g", "status": status, "reason": ""}
    rows = [
        split_lock.SplitRow(pixel_sha256=one.pixel_sha256, name=one.name, label=one.label, **facts)
        for one in locked
    ]
    write_rows(clinic.split_csv, split_lock.SplitRow, rows)
    before = read_evaluations(clinic.openings)
    run(repository, monkeypatch, *MAP, "--smoke")
    counted = read_evaluations(clinic.openings)[len(before) :]
    clinic.split_csv.unlink()
    assert len(counted) == opened
    for one in counted:
        assert one.model == identity(repository.model)
        assert one.test_sha == split_lock.test_sha((r.pixel_sha256, r.label) for r in locked)
        assert one.command == "hgmnet study external --data clinic"


def test_mlflow_has_it_in_the_experiment_of_the_set(repository, monkeypatch):
    run(repository, monkeypatch, *MAP)
    store = open_tracking_store(repository.root, "clinic", 5)
    runs = list(store.client.search_runs([store.experiment_id]))
    parents = [r for r in runs if r.data.tags.get("hgmnet.study") == "external"]
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert "served.accuracy" in parents[0].data.metrics
    assert any(r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id for r in runs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "class `cancer` is none of the model's classes, benign, malignant, normal; map it"),
        (["--map", "x=benign"], "--map x=...: the set has no such class; it has benign, cancer"),
        (["--map", "cancer"], "--map cancer: expected <class of the set>=<class of the model>"),
        ([*MAP, "--recalibrate", "0.7"], "--recalibrate 0.7: expected a fraction above 0"),
        (["--data", "phantom"], "--data phantom: the model was trained on it"),
        (["--data", "nowhere"], "manifest.csv is missing; `hgmnet import nowhere ...`"),
        (["--model", "elsewhere"], "elsewhere/model.json is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(repository, monkeypatch, capsys, words, said):
    monkeypatch.chdir(repository.root)
    assert main([*COMMAND, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_set_that_the_model_has_seen_whole_is_refused(repository, monkeypatch, capsys):
    clinic = Workspace(repository.root, "twin")
    shutil.copytree(repository.root / "data" / "clinic", clinic.folder)
    rows = pd.read_csv(clinic.manifest).assign(pixel_sha256=SEEN)
    rows.to_csv(clinic.manifest, index=False)
    monkeypatch.chdir(repository.root)
    assert main([*COMMAND[:-1], "twin", *MAP]) == 4
    assert "the model has seen all 40 images of twin" in capsys.readouterr().err
