"""The real stages by real DVC on three dozen small phantoms: what reruns, what is registered."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from ruamel.yaml import YAML

from hgmnet.data.image_record import ImageRecord
from hgmnet.data.image_statistics import ImageStatistics
from hgmnet.evaluation.drift import DriftReport
from hgmnet.models.spec import identity, load_spec
from pipelines.artifacts.evaluation import Evaluation, Subgroups
from pipelines.artifacts.gate import GateResult
from pipelines.artifacts.io import read_json, read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import EvaluationNumber, read_evaluations
from pipelines.cli.main import main
from tests.change_plans import write_plans
from tests.devtools import CHROMIUM, browser
from tests.whole_repository import give_finished

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EVERYWHERE = {"on": "point", "where": "all", "min_n": 1}


def dvc(root: Path, *words: str) -> tuple[int, str]:
    """The exit status and all that was printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=root,
        env=env | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def change(workspace: Workspace, **sections) -> None:
    yaml = YAML(typ="safe", pure=True)
    file = workspace.root / "params.yaml"
    params = yaml.load(file.read_text())
    for name, changes in sections.items():
        params[name] |= changes
    with file.open("w") as opened:
        yaml.dump(params, opened)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Workspace, str]:
    """A copy of this repository, its pipeline run once; and what that printed."""
    root = tmp_path_factory.mktemp("pipeline") / "repository"
    printed = give_finished(root)
    return Workspace(root, "phantom"), printed


@pytest.fixture
def workspace(made) -> Iterator[Workspace]:
    """It again; params.yaml is put back, and what follows from it."""
    file = made[0].root / "params.yaml"
    before = file.read_bytes()
    yield made[0]
    file.write_bytes(before)


def versions(workspace: Workspace) -> tuple[set[str], dict[str, str]]:
    """All versions, and the aliases."""
    client = mlflow.MlflowClient(f"sqlite:///{workspace.root / 'mlflow.db'}")
    found = client.search_model_versions("name = 'hgmnet-phantom'")
    aliases = client.get_registered_model("hgmnet-phantom").aliases
    return {str(v.version) for v in found}, {name: str(v) for name, v in aliases.items()}


def test_the_first_run_ends_with_a_registered_model_and_a_table(made):
    workspace, output = made
    assert [stage.removeprefix("data/phantom/dvc.yaml:") for stage in ran(output)] == [
        "phantom", "ingest", "validate", "split", "prepare", "train",
        "calibrate", "evaluate", "gate", "report", "register",
    ]  # fmt: skip
    for said in (
        "lesion Dice",
        "accuracy",
        "hgmnet-phantom",
        "reports/html/index.html",
        "mlflow ui",
    ):
        assert said.lower() in output.lower()
    assert versions(workspace) == ({"1"}, {"challenger": "1"})
    evaluation = read_json(workspace.metrics, Evaluation)
    (evaluated,) = read_evaluations(workspace.openings)
    assert evaluated.test_sha == evaluation.test_sha
    assert evaluation.test["lesion_dice"].n > 0
    number = read_json(workspace.opening, EvaluationNumber)
    assert (number.number, number.test_sha) == (1, evaluation.test_sha)
    assert number.first == evaluated
    subgroups = read_json(workspace.subgroups, Subgroups)
    assert subgroups.split == "test"
    labels = [g for g in subgroups.groups if g.column == "label"]
    assert [g.value for g in labels] == ["benign", "malignant", "normal"]
    images = sum(g.figures["accuracy"].n for g in labels)
    assert images == evaluation.test["accuracy"].n
    drift = read_json(workspace.evaluation_drift, DriftReport)
    assert (drift.source, drift.drifted) == ("test split of phantom", ())
    assert drift.images == evaluation.test["accuracy"].n


def test_the_registered_model_answers_to_the_bytes_of_an_image(made):
    workspace, _ = made
    mlflow.set_tracking_uri(f"sqlite:///{workspace.root / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model("models:/hgmnet-phantom@challenger")
    scan = next(workspace.raw.glob("malignant/*).png")).read_bytes()
    answer = model.predict(pd.DataFrame({"image": [scan]})).iloc[0]
    total = sum(answer[f"prob_{name}"] for name in ("benign", "malignant", "normal"))
    assert total == pytest.approx(1, abs=1e-5)
    assert answer["mask_png"]


def test_nothing_changed_runs_nothing_but_register(workspace):
    status, output = dvc(workspace.root, "repro")
    assert (status, ran(output)) == (0, ["register"])
    assert versions(workspace)[0] == {"1"}


@pytest.mark.long
def test_a_gate_that_fails_is_recorded_and_said_and_never_retrains(workspace):
    change(workspace, gate={"checks": [{"metric": "lesion_dice", "bound": 0.999, **EVERYWHERE}]})
    status, output = dvc(workspace.root, "repro")
    assert status == 255
    assert ran(output) == ["gate", "report", "register"]
    assert read_json(workspace.gate, GateResult).status == "failed"
    lines = [line for line in output.splitlines() if line]
    said = next(i for i, line in enumerate(lines) if line.startswith("Rejected, not an error: "))
    assert lines[said + 1].startswith("ERROR: failed to reproduce 'register'")
    assert "exited with 3" in lines[said + 1]
    assert versions(workspace) == ({"1"}, {})

    change(workspace, gate={"checks": [{"metric": "lesion_dice", "bound": 0.0, **EVERYWHERE}]})
    status, output = dvc(workspace.root, "repro")
    assert status == 0, output
    assert ran(output) == ["register"]
    assert versions(workspace) == ({"1"}, {"challenger": "1"})


def test_another_plan_reruns_the_gate_alone_and_a_model_outside_it_is_refused(workspace):
    write_plans(workspace.root, fixed={"classes": ["benign", "malignant"]})
    status, output = dvc(workspace.root, "repro")
    assert status == 255
    assert ran(output) == ["gate", "report", "register"]
    said = "Rejected, not an error: outside pccp.yaml, clause fixed.classes: it predicts benign, "
    assert any(line.startswith(said) for line in output.splitlines())
    assert "exited with 3" in output
    assert versions(workspace) == ({"1"}, {})
    write_plans(workspace.root)  # the test of a gate that fails shows what comes of it


@pytest.mark.long
def test_more_epochs_retrain_and_going_back_restores_without_training(workspace):
    weights = workspace.model / "weights.safetensors"
    first = weights.read_bytes()
    change(workspace, train={"epochs": 2})
    status, output = dvc(workspace.root, "repro", "train")
    assert status == 0, output
    assert ran(output) == ["train"]
    assert weights.read_bytes() != first

    change(workspace, train={"epochs": 1})
    status, output = dvc(workspace.root, "repro")
    assert status == 0, output
    assert ran(output) == ["register"]
    assert weights.read_bytes() == first
    assert versions(workspace) == ({"1"}, {"challenger": "1"})


def test_an_unopened_test_split_is_not_judged_and_not_an_error(workspace):
    change(workspace, evaluate={"include_test": False})
    status, output = dvc(workspace.root, "repro")
    assert status == 0, output
    assert ran(output) == ["evaluate", "gate", "report", "register"]
    assert read_json(workspace.metrics, Evaluation).test is None
    assert read_json(workspace.gate, GateResult).status == "not judged"
    assert "not judged" in output
    assert versions(workspace)[0] == {"1"}


@pytest.mark.parametrize(
    ("sections", "stage", "said"),
    [
        ({"model": {"encoder": "resnet19"}}, "train", "there is no `resnet19`"),
        ({"prepare": {"side": 50}}, "prepare", "50 px is not a multiple of 32"),
        ({"train": {"epoks": 3}}, "train", "train.epoks: unknown key"),
        ({"split": {"seed": 5}}, "split", "hgmnet resplit"),
        ({"gate": {"checks": [{"metric": "dise", "bound": 0, **EVERYWHERE}]}}, "gate", "`dise`"),
    ],
)
def test_a_mistake_is_one_line_and_loses_nothing(workspace, sections, stage, said):
    params = workspace.root / "params.yaml"
    before = params.read_bytes()
    change(workspace, **sections)
    status, output = dvc(workspace.root, "repro", "-s", stage)
    assert status == 255
    line = next(line for line in output.splitlines() if line.startswith("hgmnet: "))
    assert said in line
    assert "Traceback" not in output
    params.write_bytes(before)
    status, output = dvc(workspace.root, "repro", "-s", stage)
    assert (status, ran(output)) == (0, []), output  # it comes back out of the cache


def test_a_model_never_judges_an_image_that_it_was_trained_on(workspace):
    index = workspace.prepared / "index.csv"
    before = index.read_bytes()
    table = pd.read_csv(index, dtype=str, keep_default_na=False)
    alone = ~table["group"].duplicated(keep=False) & (table["split"] == "train")
    table.loc[alone.idxmax(), "split"] = "test"
    table.to_csv(index, index=False)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "evaluate"],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    index.write_bytes(before)
    assert done.returncode == 4
    assert "the model was fitted on 1 images of the test split" in done.stderr


def profile(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line that `hgmnet drift` prints."""
    assert main(["drift", str(folder)]) == 0
    return capsys.readouterr().out.splitlines()[-1]


def test_the_images_it_was_made_from_have_not_drifted(workspace, capsys, monkeypatch):
    monkeypatch.chdir(workspace.root)
    assert profile(workspace.raw, capsys) == "44 images against those of phantom: no drift"
    report = read_json(workspace.drift, DriftReport)
    assert (report.images, report.drifted) == (44, ())
    assert report.model == identity(workspace.model)
    columns = [shift.column for shift in report.columns]
    assert columns == sorted([*ImageStatistics.model_fields, "lesion_area", "confidence"])
    records = read_rows(workspace.manifest, ImageRecord)
    seen = load_spec(workspace.model).seen.train
    predicted = {s.images for s in report.columns if s.column in {"lesion_area", "confidence"}}
    assert predicted == {sum(record.pixel_sha256 not in seen for record in records)}


def test_blurred_copies_have_drifted_and_what_is_no_image_is_named(
    workspace, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(workspace.root)
    for path in workspace.raw.rglob("*).png"):
        with Image.open(path) as image:
            image.filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / path.name)
    (tmp_path / "cut.png").write_bytes(b"cut")
    said = profile(tmp_path, capsys)
    assert said.startswith("44 images against those of phantom: drifted in ")
    report = read_json(workspace.drift, DriftReport)
    assert "sharpness" in report.drifted
    assert report.drifted == tuple(shift.column for shift in report.columns if shift.drifted)
    assert {"width", "height", "aspect"}.isdisjoint(report.drifted)
    assert report.unreadable == ("cut.png",)
    (page,) = (workspace.drift_docs / "validations").rglob("*.html")
    assert "sharpness is distributed as in the reference" in page.read_text(encoding="utf-8")


def test_the_main_figures_are_dvcs_metrics(workspace):
    dvc(workspace.root, "repro", "report")
    status, output = dvc(workspace.root, "metrics", "show")
    assert status == 0
    header, row = (line.split() for line in output.splitlines())
    assert {"gate", "lesion_dice", "test_images", "val_lesion_dice"} < set(header)
    assert len(header) == len(row) <= 12
    figures = dict(zip(header, row, strict=True))
    found = read_json(workspace.metrics, Evaluation)
    assert figures["gate"] == read_json(workspace.gate, GateResult).status
    assert int(figures["test_images"]) == (found.test["accuracy"].n if found.test else 0)
    assert float(figures["val_accuracy"]) == pytest.approx(found.val["accuracy"].value, abs=1e-5)


def test_plots_are_drawn_without_a_network(workspace, tmp_path):
    dvc(workspace.root, "repro", "report")
    status, output = dvc(workspace.root, "plots", "show", "-o", "dvc_plots")
    assert status == 0, output
    assert "val_lesion_dice" in (workspace.root / "dvc_plots/index.html").read_text()
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with browser(tmp_path / "profile") as tab:
        tab.call("Network.setBlockedURLs", urls=["*cdn.jsdelivr.net*"])
        tab.open((workspace.root / "dvc_plots/index.html").as_uri())
        tab.wait("document.querySelector('#Lesion_size_against_Dice h2') !== null")
        assert "could not be loaded" in tab.ask("document.getElementById('offline').innerText")
        charts = tab.ask("document.querySelectorAll('svg').length")
        assert charts == 3 + 2  # curves; size against Dice on val and test
        cells = "[...document.querySelectorAll('#Confusion_matrix td')].map((td) => +td.innerText)"
        rows = pd.read_csv(workspace.per_image)
        assert sum(tab.ask(cells)) == rows["split"].isin(["val", "test"]).sum()
        names = "document.querySelector('#Loss svg').textContent"
        assert "train_loss" in tab.ask(names)
        assert "val_loss" in tab.ask(names)
