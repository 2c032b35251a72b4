"""The evidence that `register`, `promote` and `compare` accept: bound by hashes, and counted."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from ruamel.yaml import YAML

from hgmnet.config.params import load_params
from hgmnet.data import manifest
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import HgmnetError, InvalidDataError
from hgmnet.models.spec import identity
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.promotion import comparison
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import verification
from pipelines.registry.aliases import registry_state
from pipelines.registry.decision_run import read_decision
from pipelines.registry.tracking_store import TrackingStore, open_tracking_store
from pipelines.registry.versions import find_version
from pipelines.stages import register
from tests import small_repository
from tests.run_here import must_run, run_here
from tests.shared import give_mlflow_db
from tests.three_versions import NAME, give_three_versions
from tests.tiny_repository import judge, make_model, make_repository, run_gate
from tests.whole_repository import bash

pytestmark = pytest.mark.slow


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A model that passed its gate, and is not registered."""
    monkeypatch.setattr(verification, "verify", lambda *_: None)  # a process that takes seconds
    return make_repository(tmp_path / "repository")


def edited(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text()
    file.write_text(change(before))
    assert file.read_text() != before


def better_figure(space: Workspace) -> None:
    edited(space.metrics, lambda text: text.replace("0.75", "0.99"))


def better_subgroup(space: Workspace) -> None:
    edited(space.subgroups, lambda text: text.replace("0.75", "0.99"))


def other_drift(space: Workspace) -> None:
    edited(space.evaluation_drift, lambda text: text.replace('"images": 6', '"images": 7'))


def other_rows(space: Workspace) -> None:
    edited(space.per_image, lambda text: text.replace("(1)", "(2)"))


def lower_bound(space: Workspace) -> None:
    edited(space.gate, lambda text: text.replace('"bound": 0.7', '"bound": 0.1'))


def stricter_settings(space: Workspace) -> None:
    """A bound in params.yaml that the model misses, set after the gate."""
    yaml, file = YAML(typ="safe", pure=True), space.root / "params.yaml"
    params = yaml.load(file.read_text())
    params["gate"]["checks"][0]["bound"] = 0.9
    with file.open("w") as target:
        yaml.dump(params, target)


def clause_removed(space: Workspace) -> None:
    gate = json.loads(space.gate.read_text())
    space.gate.write_text(json.dumps(gate | {"plan": gate["plan"][1:]}))


def from_before(space: Workspace) -> None:
    """The file as it was written before it named model and files."""
    gate = json.loads(space.gate.read_text())
    del gate["model"], gate["files"]
    space.gate.write_text(json.dumps(gate))


@pytest.mark.parametrize(
    "change",
    [
        *(better_figure, better_subgroup, other_drift, other_rows, lower_bound),
        *(stricter_settings, clause_removed, from_before),
    ],
)
def test_a_verdict_on_other_evidence_is_refused(
    judged: Workspace, change: Callable[[Workspace], None]
) -> None:
    change(judged)
    with pytest.raises(InvalidDataError, match=r"run `dvc repro`, not register alone") as refused:
        read_decision(judged)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["metrics", "per_image", "subgroups", "evaluation_drift", "gate"])
def test_evidence_that_is_missing_is_named(judged: Workspace, name: str) -> None:
    file = getattr(judged, name)
    file.unlink()
    with pytest.raises(InvalidDataError, match=f"{file.name} is missing; `dvc repro` makes it"):
        read_decision(judged)


def test_a_failed_verdict_that_was_edited_is_refused(judged: Workspace) -> None:
    judge(judged, "failed")
    edited(judged.gate, lambda text: text.replace('"failed"', '"passed"').replace("false", "true"))
    with pytest.raises(InvalidDataError, match=r"gate.json \(passed\) is not .* \(failed\)"):
        read_decision(judged)


@pytest.fixture
def three(tmp_path: Path) -> Workspace:
    """Version 1 serves, 2 is better, 3 is like 2 and waits as challenger."""
    return give_three_versions(tmp_path / "repository")


def spoil(space: Workspace, number: str) -> None:
    """Let a version find nothing, in the rows that its run has."""
    store = opened(space)
    run = store.client.get_run(find_version(store, NAME, number).tags["hgmnet.decision_run"])
    table = Path(url2pathname(urlsplit(run.info.artifact_uri).path))
    table /= space.per_image.relative_to(space.root)
    rows = pd.read_csv(table, keep_default_na=False)
    rows["served_tp"] = 0
    rows.to_csv(table, index=False)


def test_a_champion_whose_rows_were_spoilt_is_not_replaced(three: Workspace) -> None:
    spoil(three, "1")
    with pytest.raises(InvalidDataError, match=r"version 1 of hgmnet-phantom: .* was changed"):
        promote(open_comparer(three.root, None), Request("2"))
    assert registry_state(opened(three), NAME).champion == "1"


@pytest.mark.parametrize("word", ["3", "challenger"])
def test_rows_that_were_changed_are_not_compared(three: Workspace, word: str) -> None:
    spoil(three, "3")
    ended = run_here(three.root, "compare", "2", word)
    assert ended.status == 4
    assert "was changed after it was registered" in ended.output
    assert "Traceback" not in ended.output


def test_rows_without_a_hash_are_not_believed(three: Workspace) -> None:
    """Those of a version from before: its images are predicted again, or it is refused."""
    opened(three).client.delete_model_version_tag(NAME, "1", "hgmnet.per_image_sha256")
    spoil(three, "1")
    with suppress(HgmnetError):  # this checkout has not the test set of the three
        promote(open_comparer(three.root, None), Request("2"))
    assert registry_state(opened(three), NAME).champion == "1"


def lock_of(records: list[ImageRecord]) -> list[SplitRow]:
    """The first two images in test, the others in train."""
    return [
        SplitRow(
            pixel_sha256=one.pixel_sha256,
            name=one.name,
            label=one.label,
            group=one.image,
            status="test" if i < 2 else "train",
            reason="",
        )
        for i, one in enumerate(records)
    ]


def test_versions_name_their_images_of_a_patient(judged: Workspace) -> None:
    records = [
        one.model_copy(update={"group": one.image, "patient": f"patient {i // 3}"})
        for i, one in enumerate(manifest.build(judged.raw))
    ]
    write_rows(judged.manifest, ImageRecord, records)
    write_rows(judged.split_csv, SplitRow, lock_of(records))
    (judged.root / "dvc.yaml").write_text("stages: {}\n")
    params = load_params(judged.root / "params.yaml")
    register.run(judged.root, params.data, params.registry)
    first, second, third, fourth = (one.image for one in records[:4])
    start = f"{NAME} version 1: "
    for words, uses in {
        ("--patient", "patient 0"): f"{first} in test, {second} in test, {third} in train",
        ("--patient", "patient 7"): "none of it",
        ("--image", fourth): f"{fourth} in train",
        ("--image", records[0].name): f"{first} in test",
    }.items():
        assert run_here(judged.root, "lineage", *words).out == f"{start}{uses}\n"
    shutil.rmtree(judged.root / "mlartifacts")
    gone = run_here(judged.root, "lineage", "--image", first)
    assert gone.out.startswith(f"{start}not known: ")
    assert "Traceback" not in gone.output


@pytest.fixture
def predicting(three: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same, with a locked test split of two images; versions answer with their own rows."""
    records = manifest.build(three.raw)
    write_rows(
        three.manifest, ImageRecord, (r.model_copy(update={"group": r.image}) for r in records)
    )
    write_rows(three.split_csv, SplitRow, lock_of(records))
    logged = comparison.logged_rows

    def predict(store: TrackingStore, version: ModelVersion, *_: object) -> pd.DataFrame:
        return logged(store, version)

    monkeypatch.setattr(comparison, "predict_rows", predict)  # processes that take seconds
    return three


def test_a_comparison_on_the_own_data_set_counts_each_version_once(predicting: Workspace) -> None:
    """With champion and anchor to compare with, the challenger is predicted once, too."""
    must_run(predicting.root, "rollback", "--to", "1", "--reason", "makes it the anchor")
    promote(open_comparer(predicting.root, None), Request("2"))
    before = read_evaluations(predicting.openings)
    outcome, _ = promote(open_comparer(predicting.root, "phantom"), Request("3"))
    assert {one.version for one in outcome.comparisons} == {"1", "2"}
    counted = read_evaluations(predicting.openings)[len(before) :]
    assert {one.command for one in counted} == {"hgmnet promote --data phantom"}
    assert len({one.test_sha for one in counted}) == 1
    models = [find_version(opened(predicting), NAME, n).tags["hgmnet.model"] for n in "123"]
    assert sorted(one.model for one in counted) == sorted(models)


def test_a_comparison_on_a_set_without_a_split_counts_nothing(predicting: Workspace) -> None:
    before = read_evaluations(predicting.openings)
    with suppress(HgmnetError):  # the rows are of other images
        promote(open_comparer(predicting.root, "other"), Request("2"))
    assert read_evaluations(predicting.openings) == before


@pytest.fixture
def received(judged: Workspace, tmp_path: Path) -> Workspace:
    """A fresh clone with the results of `judged`, as by `dvc pull`: no record of evaluations."""
    unneeded = shutil.ignore_patterns(".hgmnet", "mlflow.db*", "mlartifacts")
    root = shutil.copytree(judged.root, tmp_path / "clone", ignore=unneeded)
    give_mlflow_db(root)
    return Workspace(root, judged.data)


def test_results_from_elsewhere_are_counted_at_registration(
    judged: Workspace, received: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    registered(received)
    (evaluation,) = read_evaluations(judged.openings)
    assert read_evaluations(received.openings) == [evaluation]
    assert f"{evaluation.when} by {evaluation.who}, which came with" in capsys.readouterr().out
    assert tags(received)["hgmnet.opening"] == tags(received)["hgmnet.openings"] == "1"
    registered(received)
    assert "came with these results" not in capsys.readouterr().out
    assert tags(received)["hgmnet.openings"] == "1"


@pytest.mark.parametrize("first", ["judged", "received"])
def test_checkouts_with_one_mlflow_count_one_evaluation_once(
    judged: Workspace,
    received: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{judged.root}/mlflow.db")
    checkouts = [judged, received] if first == "judged" else [received, judged]
    for space in (*checkouts, *checkouts):
        registered(space)
    assert versions(judged) == ["1"]
    assert tags(judged)["hgmnet.openings"] == "1"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository whose only stage, `evaluate`, has run; its results are in DVC's remote."""
    root = tmp_path_factory.mktemp("pushed") / "there"
    check = {"metric": "lesion_dice", "bound": 0.0, "on": "point", "where": "all", "min_n": 1}
    space = small_repository.make_repository(root, gate={"checks": [check]})
    make_model(space, seed=0)
    stage = {
        "cmd": "python -m pipelines stage evaluate",
        "params": ["evaluate"],
        "outs": ["reports/evaluation"],
    }
    with (root / "dvc.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"stages": {"evaluate": stage}}, file)
    (root / ".gitignore").write_text("/.hgmnet/\n/mlflow.db*\n/mlartifacts/\n/reports/\n")
    bash(root, f"git init -q; dvc init -q; dvc remote add -q -d storage {root.parent}/storage")
    bash(root, "dvc repro -q; dvc push -q --run-cache; git add .; git commit -qm evaluated")
    return space


@pytest.mark.long
@pytest.mark.parametrize(
    "way",
    ["dvc pull -q", "dvc pull -q --run-cache; rm -r dvc.lock reports; dvc repro -q"],
    ids=["pull", "run cache"],
)
def test_what_dvc_brings_is_counted(
    pushed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(verification, "verify", lambda *_: None)
    here = Workspace(tmp_path / "here", pushed.data)
    bash(tmp_path, f"git clone -q {pushed.root} here; cd here; {way}")
    assert not here.openings.exists()
    give_mlflow_db(here.root)
    run_gate(here)
    registered(here)
    assert read_evaluations(here.openings) == read_evaluations(pushed.openings)
    assert tags(here)["hgmnet.openings"] == "1"


def no_record(space: Workspace) -> None:
    space.opening.unlink()


def record_from_before(space: Workspace) -> None:
    found = json.loads(space.opening.read_text())
    del found["first"]
    space.opening.write_text(json.dumps(found))


def record_of_another(space: Workspace) -> None:
    edited(space.opening, lambda text: text.replace(identity(space.model), "f" * 64))


@pytest.mark.parametrize(
    ("status", "change"),
    [
        *(("passed", change) for change in (no_record, record_from_before, record_of_another)),
        ("failed", no_record),
    ],
)
def test_test_figures_that_nobody_counted_are_refused(
    received: Workspace, status: str, change: Callable[[Workspace], None]
) -> None:
    judge(received, status)
    change(received)
    received.openings.unlink()
    with pytest.raises(InvalidDataError, match="dvc repro -f -s evaluate") as refused:
        registered(received)
    assert "\n" not in str(refused.value)
    assert not versions(received)


def test_figures_on_val_alone_need_no_count(received: Workspace) -> None:
    judge(received, "not judged")
    assert not received.openings.exists()
    registered(received)
    assert not versions(received)


def registered(space: Workspace) -> None:
    params = load_params(space.root / "params.yaml")
    register.run(space.root, params.data, params.registry)


def opened(space: Workspace) -> TrackingStore:
    return open_tracking_store(space.root, "phantom", 5)


def versions(space: Workspace) -> list[str]:
    found = opened(space).client.search_model_versions(f"name = '{NAME}'")
    return [str(version.version) for version in found]


def tags(space: Workspace) -> dict[str, str]:
    return dict(find_version(opened(space), NAME, "1").tags)
