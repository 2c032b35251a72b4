"""`hgmnet flow training --set`: an experiment of real DVC and MLflow, in a copy of the checkout."""

import csv
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from hgmnet.config.params import load_params
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.cli.main import STAGES
from pipelines.operations.run_overrides import experiment_folder, restore
from tests import small_repository, tiny_repository
from tests.processes import working_below
from tests.servers import prefect_server
from tests.shared import give_mlflow_db
from tests.whole_repository import bash, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CHECK = "{metric: lesion_dice, bound: %s, on: point, where: all, min_n: 1}"
REAL = {
    "evaluate": {"params": ["evaluate"], "outs": [{"reports/evaluation": {"cache": False}}]},
    "gate": {
        "params": ["gate"],
        "deps": ["reports/evaluation"],
        "outs": [{"reports/gate.json": {"cache": False}}],
        "metrics": [{"reports/summary.json": {"cache": False}}],
    },
    "register": {"always_changed": True, "deps": ["reports/gate.json"]},
}
FLOW = "python -m pipelines flow training"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A committed repository with a model; only `evaluate`, `gate` and `register` are real.

    params.yaml and dvc.yaml have changes that are not committed.
    """
    checks = YAML(typ="safe", pure=True).load(f"[{CHECK % 0.0}]")
    root = tmp_path_factory.mktemp("experiment") / "here"
    made = small_repository.make_repository(root, gate={"checks": checks})
    tiny_repository.make_model(made, seed=0)
    give_mlflow_db(root)
    (made.folder / "dvc.yaml").write_text("stages: {phantom: {wdir: ../.., cmd: echo phantom}}\n")
    stages = {name: {"cmd": f"echo {name}"} for name in list(STAGES)[1:]}
    for name, entry in REAL.items():
        stages[name] = {"cmd": f"python -m pipelines stage {name}", **entry}
    stages["report"]["deps"] = ["reports/gate.json"]
    with (root / "dvc.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"stages": stages}, file)
    (root / ".gitignore").write_text("/.hgmnet/\n/mlflow.db*\n/mlartifacts/\n")
    bash(root, "git init -q; dvc init -q; git add .; git commit -qm made")
    with (root / "params.yaml").open("a") as file:
        file.write("# not committed\n")
    return made


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server."""
    with prefect_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def state(space: Workspace) -> str:
    """What a run must leave as it was: params.yaml, the branch, what is not committed, stashes."""
    return bash(
        space.root, "cat params.yaml; git status --porcelain -b; git rev-parse HEAD; git stash list"
    )


def experiments(space: Workspace) -> list[str]:
    return bash(space.root, "dvc exp list --name-only").split()


def runs(space: Workspace) -> list[Run]:
    """MLflow's of experiments, the newest first."""
    client = MlflowClient(f"sqlite:///{space.root}/mlflow.db")
    found = client.get_experiment_by_name("hgmnet-phantom")
    return client.search_runs([found.experiment_id], "tags.`hgmnet.kind` = 'experiment'")


@pytest.mark.long
def test_other_settings_make_an_experiment_that_can_be_kept(space: Workspace, url: str) -> None:
    before = state(space)
    output = bash(space.root, f"PREFECT_API_URL={url} {FLOW} --set evaluate.draws=101 --promote")
    assert state(space) == before
    (name,) = experiments(space)
    assert f"dvc exp apply {name}, then dvc repro" in output
    assert "Lesion Dice" in output
    assert "git add" not in output  # DVC's hint at the end of each stage
    shown = bash(space.root, "dvc exp show --csv")
    assert name in shown
    (run,) = runs(space)
    assert run.data.tags["hgmnet.experiment"] == name
    assert run.data.params["evaluate.draws"] == "101"
    client = MlflowClient(f"sqlite:///{space.root}/mlflow.db")
    assert client.search_registered_models() == []
    assert len(read_evaluations(space.openings)) == 1
    assert not experiment_folder(space.root).exists()

    bash(space.root, f"dvc exp apply {name}; dvc repro")
    assert load_params(space.root / "params.yaml").evaluate.draws == 101
    assert len(read_evaluations(space.openings)) == 1
    assert client.get_registered_model("hgmnet-phantom").aliases.keys() == {"challenger"}
    bash(space.root, "git checkout -q .; echo '# not committed' >> params.yaml")


@pytest.mark.long
def test_a_rejected_experiment_is_recorded_too(space: Workspace, url: str) -> None:
    known = experiments(space)
    checks = f"'gate.checks=[{CHECK % 0.99}]'"
    output = bash(space.root, f"PREFECT_API_URL={url} {FLOW} --set {checks}", status=3)
    assert "Rejected, not an error: lesion Dice" in output.splitlines()[-1]
    (name,) = {*experiments(space)} - {*known}
    assert runs(space)[0].data.tags["hgmnet.experiment"] == name
    assert runs(space)[0].data.tags["hgmnet.gate"] == "failed"
    assert f"experiment {name}, rejected; its results are kept: dvc exp apply {name}" in output
    rows = list(csv.DictReader(bash(space.root, "dvc exp show --csv").splitlines()))
    assert {row["gate"] for row in rows if row["Experiment"] == name} == {"failed"}


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_a_killed_one_leaves_nothing(space: Workspace, url: str) -> None:
    file, known = space.root / "dvc.yaml", experiments(space)
    committed = file.read_text()
    file.write_text(committed.replace("echo train", "echo asleep; sleep 600"))
    before = state(space)
    with subprocess.Popen(
        ["bash", "-c", f"exec {FLOW} --set train.epochs=3"],
        cwd=space.root,
        env=environment() | {"PREFECT_API_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert any(line.endswith("- asleep\n") for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + 30
    while working_below(space.root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not working_below(space.root)
    restore(space.root)
    assert not experiment_folder(space.root).exists()
    assert state(space) == before
    assert experiments(space) == known
    file.write_text(committed)
