"""Versions, their store and the count of openings, where somebody deleted, moved or added one."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from ruamel.yaml import YAML
from sqlalchemy import create_engine, text

from hgmnet.config.params import load_params
from hgmnet.errors import HgmnetError
from pipelines.artifacts.evaluation import Evaluation
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations
from pipelines.registry import verification
from pipelines.registry.aliases import check, registry_state
from pipelines.registry.tracking_store import open_tracking_store, tracking_uri
from pipelines.stages import register
from tests import small_repository, tiny_repository
from tests.contenders import contenders_in
from tests.run_here import must_run, run_here
from tests.servers import copy_database
from tests.whole_repository import environment

pytestmark = pytest.mark.slow
NAME = "hgmnet-phantom"
WHY = ("--approve", "--reason", "made up")


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
)
def registered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, str]]:
    """Three versions, of which 1 is champion, and the store's address.

    None was loaded back, which takes seconds.
    """
    with contenders_in(request.param, tmp_path_factory.mktemp("repository")) as (space, uri):
        must_run(space.root, "promote", "--version", "1", *WHY)
        yield space, uri


@pytest.fixture
def space(
    registered: tuple[Workspace, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """The same, with a database of this test's own."""
    space, address = registered
    if address.startswith("sqlite"):
        shutil.copy(space.root / "mlflow.db", tmp_path)
        address = f"sqlite:///{tmp_path}/mlflow.db"
    else:
        address = copy_database(address, tmp_path.name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return space


def test_a_rollback_finds_the_version_that_served_before(space: Workspace) -> None:
    must_run(space.root, "promote", "--version", "2", *WHY)
    assert run_here(space.root, "rollback", "--reason", "it misbehaves").status == 0
    assert serves(space) == "1"


def test_the_version_that_served_before_can_not_be_deleted_or_rollback_notices(
    space: Workspace,
) -> None:
    must_run(space.root, "promote", "--version", "2", *WHY)
    refused = run_here(space.root, "versions", "--delete", "1").status != 0
    back = run_here(space.root, "rollback", "--reason", "it misbehaves")
    later = [
        run_here(space.root, "rollback", "--to", "2", "--reason", "back again"),
        run_here(space.root, "promote", "--version", "2", *WHY),
    ]
    problems = [ended.output for ended in (back, *later) if "Traceback" in ended.output]
    if back.status and run_here(space.root, "history").status:
        problems.append("the history names a champion that does not exist")
    assert refused or not problems


def test_an_alias_that_was_moved_by_hand_is_mended_by_a_rollback(space: Workspace) -> None:
    client(space).set_registered_model_alias(NAME, "champion", "3")
    assert run_here(space.root, "history").status == 4
    assert run_here(space.root, "rollback", "--to", "1", "--reason", "mend").status == 0
    assert serves(space) == "1"


def test_a_champion_that_was_deleted_in_mlflow_can_be_replaced(space: Workspace) -> None:
    client(space).delete_model_version(NAME, "1")
    client(space).set_registered_model_alias(NAME, "challenger", "2")
    back = ("rollback", "--reason", "mend")
    ways = [("promote", *WHY), back, (*back, "--to", "2")]
    assert any(run_here(space.root, *words).status == 0 and serves(space) for words in ways)


def made_by_hand(space: Workspace) -> None:
    """Register a version as MLflow's UI does: without tags, without a run."""
    source = client(space).get_model_version(NAME, "3").source
    client(space).create_model_version(NAME, source=source)


def run_collected(space: Workspace) -> None:
    """Delete the run of version 3's decision, and let `mlflow gc` collect it.

    Raises:
        RuntimeError: it is still there.
    """
    from mlflow.cli import gc

    run = client(space).get_model_version(NAME, "3").tags["hgmnet.decision_run"]
    client(space).delete_run(run)
    words = ["--backend-store-uri", tracking_uri(space.root), "--run-ids", run]
    done = CliRunner().invoke(gc, words, catch_exceptions=False)
    try:
        client(space).get_run(run)
    except MlflowException:
        return
    raise RuntimeError(f"mlflow gc left the run: {done.output}")


@pytest.mark.parametrize("command", ["versions", "clean"])
def test_versions_that_register_made_are_listed(command: str, space: Workspace) -> None:
    ended = run_here(space.root, command)
    assert ended.status == 0
    assert "Traceback" not in ended.output


def run_deleted(space: Workspace) -> None:
    """Delete the run of version 3's decision, which can be restored."""
    client(space).delete_run(client(space).get_model_version(NAME, "3").tags["hgmnet.decision_run"])


def a_tag_deleted(space: Workspace) -> None:
    """Delete the hash of version 3's model."""
    client(space).delete_model_version_tag(NAME, "3", "hgmnet.model")


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (made_by_hand, "no tag hgmnet.model, hgmnet.gate, hgmnet.decision_run"),
        (run_collected, "no run "),
        (run_deleted, "run deleted; mlflow runs restore --run-id "),
        (a_tag_deleted, "no tag hgmnet.model"),
    ],
)
def test_a_version_that_somebody_made_or_emptied_does_not_hide_the_others(
    change: Callable[[Workspace], None], missing: str, space: Workspace
) -> None:
    change(space)
    lines = must_run(space.root, "versions").out.splitlines()[3:]
    assert sum(f"(missing: {missing}" in line for line in lines) == 1
    assert sum("0.750" in line for line in lines) == (2 if change is run_collected else 3)
    changed = lines[0].split()[0]
    for words in (
        *(("clean",), ("lineage", changed), ("publish",), ("promote", "--version", changed)),
        *([("compare", changed, "1")] if change is run_collected else []),
        ("versions", "--delete", changed),
    ):
        assert "Traceback" not in (ended := run_here(space.root, *words)).output, words
        assert ended.status is not None
    assert serves(space) == "1"


def test_doctor_approves_of_a_store_that_opens(space: Workspace) -> None:
    assert run_here(space.root, "versions").status == 0
    assert approved(space)


def test_doctor_does_not_approve_of_a_store_that_can_not_be_opened(space: Workspace) -> None:
    engine = create_engine(tracking_uri(space.root))
    with engine.begin() as database:
        database.execute(text("update alembic_version set version_num = '451aebb31d03'"))
    engine.dispose()
    ended = run_here(space.root, "versions")
    assert ended.status == 2
    assert "451aebb31d03 is of an older MLflow" in ended.err
    assert "mlflow db upgrade" in ended.err
    assert ended.err.count("\n") == 1
    assert not approved(space)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A repository whose only version is challenger."""
    monkeypatch.setattr(verification, "verify", lambda *_: None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    space = tiny_repository.make_repository(tmp_path / "here")
    (space.root / "dvc.yaml").touch()
    record(space)
    return space


def test_a_promoted_version_predicts(repository: Workspace, tmp_path: Path) -> None:
    assert run_here(repository.root, "promote", *WHY).status == 0
    assert predicts(repository, tmp_path / "out")


def test_what_is_promoted_in_a_moved_checkout_predicts(
    repository: Workspace, tmp_path: Path
) -> None:
    moved = Workspace(repository.root.rename(tmp_path / "there"), repository.data)
    promoted = run_here(moved.root, "promote", *WHY).status == 0
    assert not promoted or predicts(moved, tmp_path / "out")


def test_a_second_verdict_is_recorded_beside_the_first(repository: Workspace) -> None:
    before = artifacts(repository)
    tiny_repository.judge(repository, "passed", bound=0.71)
    record(repository)
    assert artifacts(repository) > before


def test_a_copied_checkout_leaves_the_original_alone(repository: Workspace, tmp_path: Path) -> None:
    root = shutil.copytree(repository.root, tmp_path / "copy")
    copy, before = Workspace(root, repository.data), artifacts(repository)
    tiny_repository.judge(copy, "passed", bound=0.71)
    with suppress(HgmnetError):
        record(copy)
    assert artifacts(repository) == before


@pytest.fixture(scope="module")
def evaluating(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository for `dvc exp run`, all of it in git, whose only stage is `evaluate`."""
    space = small_repository.make_repository(tmp_path_factory.mktemp("evaluating") / "here")
    tiny_repository.make_model(space, seed=0)
    stage = {
        "cmd": "python -m pipelines evaluate",
        "params": ["evaluate"],
        "outs": [{"reports/evaluation": {"cache": False}}],
    }
    with (space.root / "dvc.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"stages": {"evaluate": stage}}, file)
    (space.root / ".gitignore").write_text("/.hgmnet/\n")
    typed(space.root, "git", "init", "-q")
    typed(space.root, sys.executable, "-m", "dvc", "init", "-q")
    must_run(space.root, "evaluate")
    typed(space.root, "git", "add", ".")
    typed(space.root, "git", "commit", "-qm", "evaluated")
    return space


@pytest.mark.long
def test_an_evaluation_of_the_test_split_is_counted(evaluating: Workspace) -> None:
    assert len(read_evaluations(evaluating.openings)) == 1


@pytest.mark.long
def test_an_evaluation_in_an_experiment_of_its_own_is_counted(evaluating: Workspace) -> None:
    before = len(read_evaluations(evaluating.openings))
    words = ("exp", "run", "--temp", "-q", "-n", "other", "-S", "evaluate.draws=101")
    typed(evaluating.root, sys.executable, "-m", "dvc", *words)
    (commit,) = typed(
        evaluating.root, "git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/other"
    ).split()
    path = evaluating.metrics.relative_to(evaluating.root)
    found = typed(evaluating.root, "git", "show", f"{commit}:{path}")
    if not Evaluation.model_validate_json(found, strict=False).test:
        raise RuntimeError("the experiment did not open the test split")
    assert len(read_evaluations(evaluating.openings)) > before


def client(space: Workspace) -> MlflowClient:
    return MlflowClient(tracking_uri(space.root))


def serves(space: Workspace) -> str:
    """The champion, empty if there is none or the history does not fit it."""
    now = registry_state(open_tracking_store(space.root, "phantom", 5), NAME)
    return "" if check(now) else now.champion


def approved(space: Workspace) -> bool:
    """Whether `hgmnet doctor` says ok of MLflow's store."""
    lines = run_here(space.root, "doctor").output.splitlines()
    return any(line.startswith("ok") and "MLflow at" in line for line in lines)


def record(space: Workspace) -> None:
    params = load_params(space.root / "params.yaml")
    register.run(space.root, params.data, params.registry)


def predicts(space: Workspace, out: Path) -> bool:
    """Whether the champion answers."""
    return run_here(space.root, "predict", str(space.raw), "--out", str(out)).status == 0


def artifacts(space: Workspace) -> set[str]:
    """The files of a checkout's own MLflow runs and models."""
    top = space.root / "mlartifacts"
    return {file.relative_to(top).as_posix() for file in top.rglob("*") if file.is_file()}


def typed(root: Path, *words: str) -> str:
    """The output of a command that sets something up.

    Raises:
        CalledProcessError: it failed.
    """
    done = subprocess.run(
        words, cwd=root, env=environment(), check=True, capture_output=True, text=True
    )
    return done.stdout
