"""`hgmnet report --version`: the page about a version, its evidence, and a signed approval."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.artifacts.paths import Workspace
from pipelines.registry.evidence import EVIDENCE
from tests.devtools import CHROMIUM, WIDER, browser
from tests.unit.test_signatures import make_key
from tests.whole_repository import bash, give_finished

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
NAME = "hgmnet-phantom"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 serves; version 2 does without the mirrored view, and waits."""
    root = tmp_path_factory.mktemp("here") / "repository"
    give_finished(root)
    bash(root, "git add -A; git commit -qm made")
    hgmnet(root, "promote", "--version", "1")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("mirror: true", "mirror: false"))
    for stage in ("calibrate", "evaluate", "gate", "report", "register"):
        hgmnet(root, "stage", stage)
    return root


def hgmnet(root: Path, *words: str, status: int = 0) -> str:
    """What a command prints; its complaint where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *words],
        cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def test_the_first_page_is_there_when_the_version_is(root: Path) -> None:
    version = client(root).get_model_version(NAME, "1")
    text = Workspace(root, "phantom").version_page("1").read_text()
    for words in (version.tags["hgmnet.model"], version.tags[EVIDENCE], "It is the first version."):
        assert words in text
    run = version.tags["hgmnet.decision_run"]
    assert f"runs/{run}/artifacts/version/index.html" in version.description
    logged = Path(client(root).download_artifacts(run, "version/index.html"))
    assert "The page to sign" not in logged.read_text()
    assert version.tags["hgmnet.model"] in logged.read_text()


def test_mlflows_own_pages_know_version_data_and_training(root: Path) -> None:
    store = client(root)
    version = store.get_model_version(NAME, "1")
    run = store.get_run(version.tags["hgmnet.decision_run"])
    sets = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert set(sets) == {"train", "val", "test"}
    assert version.tags["hgmnet.test_sha"].startswith(sets["test"].digest)
    assert version.tags["hgmnet.data_hash"] in sets["train"].source
    training = store.get_run(run.data.tags["mlflow.parentRunId"])
    assert training.data.tags["hgmnet.kind"] == "training"
    assert {"true", "false"} & set(training.data.params.values())
    assert not {"True", "False"} & {*training.data.params.values(), *run.data.params.values()}
    experiment = store.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    model = store.get_logged_model(version.source.rpartition("/")[2])
    held = json.loads(model.tags["mlflow.modelVersions"])
    assert [(one["name"], str(one["version"])) for one in held] == [(NAME, "1")]
    (dice,) = (one for one in model.metrics if one.key == "test/lesion_dice")
    assert dice.dataset_digest == sets["test"].digest
    assert model.params["encoder"] == "tu-test_resnet"


def test_the_second_says_what_changed_and_who_serves(root: Path) -> None:
    assert hgmnet(root, "report", "--version", "2") == "page: reports/versions/2/index.html\n"
    page = (root / "reports/versions/2/index.html").read_text()
    for words in (
        "What changed since version 1",
        "calibrate.mirror",
        "the same images, labels and split",
        "It does not serve: it is the challenger, and waits for a decision. Version 1 serves.",
        "registered with uncommitted changes",
        "2nd evaluation on it",
    ):
        assert words in page
    assert "<h1" in (root / "reports/versions/2/report.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")
def test_it_fits_every_window_and_complains_of_nothing(root: Path, tmp_path: Path) -> None:
    pages = sorted((root / "reports/versions").glob("*/*.html"))
    assert len(pages) >= 3
    with browser(tmp_path / "profile") as tab:
        for page in pages:
            for width in (320, 400, 900, 1280):
                tab.size(width)
                tab.open(page.as_uri())
                measured = f"[innerWidth, document.documentElement.scrollWidth, {WIDER}]"
                assert tab.ask(measured) == [width, width, []]
            assert tab.complaints() == []


def test_a_signed_approval_is_verified_and_shown(root: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"eva@example.org {key.with_suffix('.pub').read_text()}")
    words = ("--approve", "--by", "Eva Muster", "--reason", "as good, and newer")
    hgmnet(root, "promote", "--version", "2", *words, "--sign", str(key))
    shown = hgmnet(root, "history", "--verify", str(allowed))
    assert "decision 2, promoted 2, by Eva Muster: signed by eva@example.org" in shown
    hgmnet(root, "report", "--version", "2")
    page = (root / "reports/versions/2/index.html").read_text()
    assert "It serves: it is the champion." in page
    assert "approved by Eva Muster, signed" in page
    other = make_key(tmp_path / "other")
    allowed.write_text(f"max@example.org {other.with_suffix('.pub').read_text()}")
    complaint = hgmnet(root, "history", "--verify", str(allowed), status=4)
    assert "its key is not among the allowed signers" in complaint


def test_evidence_that_was_changed_is_named(root: Path) -> None:
    run = client(root).get_model_version(NAME, "1").tags["hgmnet.decision_run"]
    (file,) = root.glob(f"mlartifacts/**/{run}/artifacts/reports/evaluation/subgroups.json")
    kept = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(kept + b"\n")
    (file.parents[2] / "risks.json").write_text("{}")  # beside it, and in no list
    complaint = hgmnet(root, "report", "--version", "1", status=4)
    assert f"reports/evaluation/subgroups.json of run {run} is not the file" in complaint
    file.write_bytes(kept)


def test_a_version_of_an_earlier_release_has_no_page(root: Path) -> None:
    store = client(root)
    frozen = store.get_model_version(NAME, "1").tags[EVIDENCE]
    store.delete_model_version_tag(NAME, "1", EVIDENCE)
    complaint = hgmnet(root, "report", "--version", "1", status=2)
    assert "was registered by an earlier release, without the evidence" in complaint
    store.set_model_version_tag(NAME, "1", EVIDENCE, frozen)
